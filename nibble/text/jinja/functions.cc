// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/methods.h"

namespace nibble::jinja {
namespace {

Value range(Interpreter& run, const Arguments& given) {
  const BoundArguments args("range()", given, {"start", "stop", "step"}, 1);
  const int64_t start = args[1] ? args.integer(0, 0) : 0;
  const int64_t stop = args.integer(args[1] ? 1 : 0, 0);
  const int64_t step = args.integer(2, 1);
  if (step == 0) throw Error("range() with a step of zero");
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange) {
      throw Error(fmt::format("range() gives more than {} items", kMaxRange));
    }
    items.push_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  run.budget().spend_steps(static_cast<int64_t>(items.size()));
  return Value::range({start, stop, step}, std::move(items));
}

// dict(mapping or pairs, name=value...).
Dict make_dict(Interpreter& run, const Arguments& given) {
  if (given.positional.size() > 1) throw Error("dict() takes at most one argument by place");
  Dict dict;
  if (!given.positional.empty()) {
    const Value& source = given.positional[0];
    if (source.as_dict()) {
      run.budget().spend_steps(static_cast<int64_t>(source.as_dict()->entries.size()));
      dict = *source.as_dict();
    } else {
      for (const Value& pair : to_items(source, run.budget())) {
        std::vector<Value> parts = to_items(pair, run.budget());
        if (parts.size() != 2) throw Error("dict() needs pairs");
        dict.set(std::move(parts[0]), std::move(parts[1]), run.budget());
      }
    }
  }
  for (const auto& [name, value] : given.named) dict.set(Value(name), value, run.budget());
  return dict;
}

Value dict(Interpreter& run, const Arguments& given) { return Value::dict(make_dict(run, given)); }

// Text of Jinja2's own, drawn at random: nothing that a prompt could need.
Value lipsum(Interpreter&, const Arguments&) { throw Error("lipsum() is not open to templates"); }

Value name_space(Interpreter& run, const Arguments& given) {
  return run.make_namespace(make_dict(run, given));
}

Value cycler(Interpreter&, const Arguments& given) {
  if (given.positional.empty() || !given.named.empty()) throw Error("cycler() needs items");
  const Value items = Value::list(given.positional);
  const auto at = std::make_shared<size_t>(0);
  const auto current = [items, at] { return items.seq()->items[*at]; };
  Object next, reset, object;
  next.name = reset.name = "method";
  next.depth = items.depth() + 1;
  next.call = [items, at, current](Interpreter&, const Arguments&) {
    const Value value = current();
    *at = (*at + 1) % items.seq()->items.size();
    return value;
  };
  reset.call = [at](Interpreter&, const Arguments&) {
    *at = 0;
    return Value();
  };
  object.name = "Cycler";
  object.depth = items.depth() + 2;
  object.attribute = [current, items, next = Value::object(next),
                      reset = Value::object(reset)](std::string_view name) -> std::optional<Value> {
    if (name == "next") return next;
    if (name == "reset") return reset;
    if (name == "current") return current();
    if (name == "items") return Value::tuple(items.seq()->items);
    return std::nullopt;
  };
  return Value::object(std::move(object));
}

Value joiner(Interpreter&, const Arguments& given) {
  const BoundArguments args("joiner()", given, {"sep"});
  Object object;
  object.name = "Joiner";
  object.depth = args[0] ? args[0]->depth() + 1 : 1;
  object.call = [separator = args[0] ? *args[0] : Value(", "),
                 used = std::make_shared<bool>(false)](Interpreter&, const Arguments&) {
    return std::exchange(*used, true) ? separator : Value("");
  };
  return Value::object(std::move(object));
}

Value raise_exception(Interpreter& run, const Arguments& given) {
  const BoundArguments args("raise_exception()", given, {"message"}, 1);
  std::string message = to_text(*args[0], run.budget()).bytes();
  std::replace(message.begin(), message.end(), '\n', ' ');  // errors are one line
  throw Error(fmt::format("the template says: {}", message));
}

Value strftime_now(Interpreter& run, const Arguments& given) {
  const BoundArguments args("strftime_now()", given, {"format"}, 1);
  const auto since_epoch = run.now().time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(since_epoch - seconds);
  const std::time_t time = seconds.count();
  std::tm local{};
  if (!localtime_r(&time, &local)) throw Error("the time can not be shown");
  std::string format = args.text(0).bytes();
  for (size_t at = 0; (at = format.find('%', at)) != std::string::npos && at + 1 < format.size();
       at += 2) {
    if (format[at + 1] == 'f') format.replace(at, 2, fmt::format("{:06}", micros.count()));
  }
  // Python's datetime.now() knows no time zone.
  for (size_t at = 0; (at = format.find('%', at)) != std::string::npos && at + 1 < format.size();) {
    const bool zone = format[at + 1] == 'z' || format[at + 1] == 'Z';
    if (zone) {
      format.erase(at, 2);
    } else {
      at += 2;
    }
  }
  char buffer[1024];
  format += '.';  // tells an empty result from one that does not fit
  const size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &local);
  if (size == 0) throw Error("strftime_now() is asked for a text that is too long");
  return Text(repair_utf8(std::string_view(buffer, size - 1)), args.text(0).origin());
}

using GlobalFunction = Value (*)(Interpreter&, const Arguments&);

struct Entry {
  std::string_view name;
  GlobalFunction function;
};

constexpr Entry kFunctions[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", name_space},
    {"cycler", cycler},
    {"joiner", joiner},
    {"lipsum", lipsum},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

std::optional<Value> find_function(std::string_view name) {
  for (const Entry& entry : kFunctions) {
    if (entry.name != name) continue;
    Object object;
    object.name = "function";
    object.call = entry.function;
    if (name == "dict") {
      object.attribute = [](std::string_view method) {
        return method == "fromkeys" ? find_method(Value::dict({}), method) : std::nullopt;
      };
    }
    return Value::object(std::move(object));
  }
  // The blocks of a template under their names; none of them can be called by name here.
  if (name == "self") {
    Object object;
    object.name = "TemplateReference";
    object.shown = [] { return "<TemplateReference None>"; };
    return Value::object(std::move(object));
  }
  return std::nullopt;
}

}  // namespace nibble::jinja
