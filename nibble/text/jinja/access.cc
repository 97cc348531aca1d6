// SPDX-License-Identifier: Apache-2.0
//
// Attributes, items, slices, lengths and iteration.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/methods.h"
#include "nibble/text/jinja/operators.h"

namespace nibble::jinja {
namespace {

// A type as Jinja2's messages name it.
std::string object_type(const Value& object) {
  if (object.is_none()) return "None";
  if (object.text() && object.text()->is_markup()) return "markupsafe.Markup object";
  return type_name(object) + " object";
}

Value missing(const Value& object, std::string_view name, Budget& budget) {
  return Value::undefined(fmt::format("'{}' has no attribute {}", object_type(object),
                                      to_repr(Value(std::string(name)), budget).bytes()));
}

// What Python's getattr() would find: methods, and the attributes of Jinja's own objects.
std::optional<Value> python_attribute(const Value& object, std::string_view name) {
  require_defined(object);
  if (const Namespace* space = object.name_space()) {
    const Value* value = space->attributes.find(name);
    return value ? std::optional(*value) : std::nullopt;
  }
  if (name.starts_with("__") && name.ends_with("__")) {
    return Value::undefined(fmt::format("attribute '{}' is not accessible", name));
  }
  if (object.object()) {
    return object.object()->attribute ? object.object()->attribute(name) : std::nullopt;
  }
  if (const Sequence* seq = object.seq()) {
    if (seq->is_group && name == "grouper") return seq->items[0];
    if (seq->is_group && name == "list") return seq->items[1];
    if (seq->kind == Sequence::Kind::kRange) {
      if (name == "start") return Value(seq->range.start);
      if (name == "stop") return Value(seq->range.stop);
      if (name == "step") return Value(seq->range.step);
    }
  }
  return find_method(object, name);
}

// What Python's object[key] would find.
std::optional<Value> python_item(const Value& object, const Value& key, Budget& budget) {
  require_defined(object);
  if (const Dict* dict = object.as_dict()) {
    if (key.seq() || key.as_dict()) {
      if (!key.is_kind(Sequence::Kind::kTuple)) return std::nullopt;  // not hashable
    }
    const Value* value = dict->find(key, budget);
    return value ? std::optional(*value) : std::nullopt;
  }
  const auto index = as_integer(key);
  if (!index) return std::nullopt;
  if (const Text* text = object.text()) {
    budget.spend_bytes(text->size());
    const auto length = static_cast<int64_t>(length_in_code_points(text->bytes()));
    const int64_t at = *index < 0 ? *index + length : *index;
    if (at < 0 || at >= length) return std::nullopt;
    const size_t begin = byte_offset(text->bytes(), static_cast<size_t>(at));
    return text->substr(begin, begin + utf8_length(text->bytes()[begin]));
  }
  const Sequence* seq = object.seq();
  if (!seq || seq->kind > Sequence::Kind::kRange) return std::nullopt;
  const auto length = static_cast<int64_t>(seq->items.size());
  const int64_t at = *index < 0 ? *index + length : *index;
  if (at < 0 || at >= length) return std::nullopt;
  return seq->items[static_cast<size_t>(at)];
}

int64_t slice_bound(const Value* value, int64_t fallback) {
  if (!value || value->is_none()) return fallback;
  require_defined(*value);
  if (const auto bound = as_integer(*value)) return *bound;
  throw Error(fmt::format("a slice bound is {}, not an integer", type_name(*value)));
}

// What Python's slice.indices() gives for `length` items.
struct SliceRange {
  int64_t first, last, stride;  // from first up or down to before last
  bool empty() const { return stride > 0 ? first >= last : first <= last; }
};

SliceRange slice_range(int64_t length, const Value* start, const Value* stop, const Value* step) {
  const int64_t stride = slice_bound(step, 1);
  if (stride == 0) throw Error("a slice step is zero");
  const int64_t lowest = stride < 0 ? -1 : 0, highest = stride < 0 ? length - 1 : length;
  const auto bound = [&](const Value* value, int64_t fallback) {
    if (!value || value->is_none()) return fallback;
    int64_t at = slice_bound(value, 0);
    if (at < 0) at = std::max(at, -length - 1) + length;
    return std::clamp(at, lowest, highest);
  };
  return {bound(start, stride < 0 ? highest : lowest), bound(stop, stride < 0 ? lowest : highest),
          stride};
}

std::vector<size_t> positions(const SliceRange& range, Budget& budget) {
  std::vector<size_t> out;
  for (int64_t at = range.first; range.stride > 0 ? at < range.last : at > range.last;) {
    budget.spend_steps(1);
    out.push_back(static_cast<size_t>(at));
    if (__builtin_add_overflow(at, range.stride, &at)) break;
  }
  return out;
}

Text slice_text(const Text& text, const Value* start, const Value* stop, const Value* step,
                Budget& budget) {
  const std::string& bytes = text.bytes();
  budget.spend_bytes(bytes.size());
  const SliceRange range =
      slice_range(static_cast<int64_t>(length_in_code_points(bytes)), start, stop, step);
  if (range.empty()) return Text();
  if (range.stride == 1) {
    const size_t begin = byte_offset(bytes, static_cast<size_t>(range.first));
    const auto count = static_cast<size_t>(range.last - range.first);
    return text.substr(begin, begin + byte_offset(std::string_view(bytes).substr(begin), count));
  }
  budget.spend_bytes(bytes.size() * sizeof(size_t));
  std::vector<size_t> offsets;  // of each code point
  for (size_t at = 0; at < bytes.size(); at += utf8_length(bytes[at])) offsets.push_back(at);
  offsets.push_back(bytes.size());
  Text out;
  for (const size_t i : positions(range, budget)) {
    out.append(text, offsets[i], offsets[i + 1]);
  }
  return out;
}

}  // namespace

Value get_attribute(const Value& object, std::string_view name, Budget& budget) {
  if (auto value = python_attribute(object, name)) return *value;
  if (object.as_dict()) {
    if (auto value = python_item(object, Value(std::string(name)), budget)) return *value;
  }
  return missing(object, name, budget);
}

Value get_item(const Value& object, const Value& key, Budget& budget) {
  if (auto value = python_item(object, key, budget)) return *value;
  if (const Text* name = key.text()) {
    if (auto value = python_attribute(object, name->bytes())) return *value;
    return missing(object, name->bytes(), budget);
  }
  const bool is_container = key.seq() || key.as_dict();
  return Value::undefined(
      fmt::format("{} has no element {}", object_type(object),
                  is_container ? type_name(key) : to_repr(key, budget).bytes()));
}

Value get_slice(const Value& object, const Value* start, const Value* stop, const Value* step,
                Budget& budget) {
  require_defined(object);
  if (const Text* text = object.text()) return slice_text(*text, start, stop, step, budget);
  const Sequence* seq = object.seq();
  if (!seq || seq->kind > Sequence::Kind::kRange) {
    throw Error(fmt::format("a {} can not be sliced", type_name(object)));
  }
  const auto length = static_cast<int64_t>(seq->items.size());
  const SliceRange places = slice_range(length, start, stop, step);
  std::vector<Value> items;
  for (const size_t i : positions(places, budget)) items.push_back(seq->items[i]);
  if (seq->kind == Sequence::Kind::kRange) {
    const Range& range = seq->range;
    // Inside the items or one step beyond them, so that only extreme ranges could overflow.
    const auto at = [&](int64_t place) {
      int64_t offset = 0, out = 0;
      if (__builtin_mul_overflow(place, range.step, &offset) ||
          __builtin_add_overflow(range.start, offset, &out)) {
        throw Error("an integer goes beyond 64 bits");
      }
      return out;
    };
    int64_t stride = 0;
    if (__builtin_mul_overflow(range.step, places.stride, &stride)) {
      throw Error("an integer goes beyond 64 bits");
    }
    return Value::range({at(places.first), at(places.last), stride}, std::move(items));
  }
  return Value::sequence(seq->kind, std::move(items));
}

std::optional<int64_t> length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* text = value.text()) {
    return static_cast<int64_t>(length_in_code_points(text->bytes()));
  }
  if (const Sequence* seq = value.seq()) return static_cast<int64_t>(seq->items.size());
  if (const Dict* dict = value.as_dict()) return static_cast<int64_t>(dict->entries.size());
  if (const Object* object = value.object(); object && object->length) return object->length();
  return std::nullopt;
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.text() || value.seq() || value.as_dict() ||
         value.generator() || (value.object() && value.object()->length);
}

Puller iterate(const Value& value, Budget& budget) {
  if (value.is_undefined()) return [] { return std::optional<Value>(); };
  if (value.text()) {
    return [value, at = size_t{0}, &budget]() mutable -> std::optional<Value> {
      const Text& text = *value.text();
      if (at >= text.size()) return std::nullopt;
      budget.spend_steps(1);
      const size_t begin = at;
      at += utf8_length(text.bytes()[at]);
      return text.substr(begin, at).as_plain();
    };
  }
  if (value.seq()) {
    return [value, at = size_t{0}, &budget]() mutable -> std::optional<Value> {
      if (at >= value.seq()->items.size()) return std::nullopt;
      budget.spend_steps(1);
      return value.seq()->items[at++];
    };
  }
  if (value.as_dict()) {
    return [value, at = size_t{0}, &budget]() mutable -> std::optional<Value> {
      if (at >= value.as_dict()->entries.size()) return std::nullopt;
      budget.spend_steps(1);
      return value.as_dict()->entries[at++].first;
    };
  }
  if (value.generator()) {
    return [value, &budget] {
      budget.spend_steps(1);
      return value.generator()->next();
    };
  }
  throw Error(fmt::format("a {} is not iterable", type_name(value)));
}

std::vector<Value> to_items(const Value& value, Budget& budget) {
  std::vector<Value> items;
  const Puller pull = iterate(value, budget);
  while (auto item = pull()) items.push_back(std::move(*item));
  return items;
}

}  // namespace nibble::jinja
