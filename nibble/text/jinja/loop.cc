// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/loop.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja/interpreter.h"

namespace nibble::jinja {

const std::optional<Value>& LoopState::peek() {
  if (after_ || exhausted_) return after_;
  if (!ahead_.empty()) {
    after_ = std::move(ahead_.back());
    ahead_.pop_back();
  } else {
    after_ = pull_();
  }
  exhausted_ = !after_;
  return after_;
}

std::optional<Value> LoopState::next() {
  if (!peek()) return std::nullopt;
  before_ = std::exchange(current_, std::exchange(after_, std::nullopt));
  ++index_;
  return current_;
}

int64_t LoopState::length() {
  if (!length_) {
    std::vector<Value> rest;
    const bool peeked = after_.has_value();
    while (auto item = pull_()) rest.push_back(std::move(*item));
    length_ = index_ + 1 + (peeked ? 1 : 0) + static_cast<int64_t>(rest.size());
    std::reverse(rest.begin(), rest.end());
    ahead_ = std::move(rest);
  }
  return *length_;
}

std::optional<Value> LoopState::attribute(std::string_view name) {
  if (name == "index") return index_ + 1;
  if (name == "index0") return index_;
  if (name == "first") return index_ == 0;
  if (name == "last") return !peek();
  if (name == "length") return length();
  if (name == "revindex") return length() - index_;
  if (name == "revindex0") return length() - index_ - 1;
  if (name == "depth") return int64_t{depth_ + 1};
  if (name == "depth0") return int64_t{depth_};
  if (name == "previtem")
    return index_ > 0 ? *before_ : Value::undefined("there is no previous item");
  if (name == "nextitem") return peek() ? *peek() : Value::undefined("there is no next item");
  return method(name);
}

std::optional<Value> LoopState::method(std::string_view name) {
  Object object;
  object.name = "method";
  // The loop outlives its methods only as long as someone holds it: the method must.
  auto self = shared_from_this();
  if (name == "cycle") {
    object.call = [self](Interpreter&, const Arguments& given) {
      if (given.positional.empty()) throw Error("loop.cycle() needs items");
      return given.positional[static_cast<size_t>(self->index_) % given.positional.size()];
    };
  } else if (name == "changed") {
    object.call = [self](Interpreter& run, const Arguments& given) {
      Value now = Value::tuple(given.positional);
      if (self->changed_ && equal(*self->changed_, now, run.budget())) return Value(false);
      self->changed_ = std::move(now);
      return Value(true);
    };
  } else {
    return std::nullopt;
  }
  return Value::object(std::move(object));
}

Value LoopState::object(std::function<Value(Interpreter&, const Arguments&)> recurse,
                        int value_depth) {
  Object object;
  object.name = "LoopContext";
  object.shown = [self = weak_from_this()] {
    const auto loop = self.lock();
    if (!loop) return std::string("<LoopContext>");
    return fmt::format("<LoopContext {}/{}>", loop->index_ + 1, loop->length());
  };
  object.depth = value_depth + 1;
  auto self = shared_from_this();
  object.attribute = [self](std::string_view name) { return self->attribute(name); };
  object.length = [self] { return self->length(); };
  object.call = std::move(recurse);
  return Value::object(std::move(object));
}

}  // namespace nibble::jinja
