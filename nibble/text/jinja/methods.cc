// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

Value dict_get(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("get()", given, {"key", "default"}, 1);
  const Value* value = self.as_dict()->find(*args[0], run.budget());
  return value ? *value : args[1] ? *args[1] : Value();
}

Value dict_items(Interpreter& run, const Value& self, const Arguments&) {
  run.budget().spend_steps(static_cast<int64_t>(self.as_dict()->entries.size()));
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict()->entries) {
    items.push_back(Value::tuple({key, value}));
  }
  return Value::sequence(Sequence::Kind::kItems, std::move(items));
}

Value dict_keys(Interpreter& run, const Value& self, const Arguments&) {
  return Value::sequence(Sequence::Kind::kKeys, to_items(self, run.budget()));
}

Value dict_values(Interpreter& run, const Value& self, const Arguments&) {
  run.budget().spend_steps(static_cast<int64_t>(self.as_dict()->entries.size()));
  std::vector<Value> values;
  for (const auto& entry : self.as_dict()->entries) values.push_back(entry.second);
  return Value::sequence(Sequence::Kind::kValues, std::move(values));
}

// Values never change, so that a copy is the value itself.
Value copy(Interpreter&, const Value& self, const Arguments&) { return self; }

Value dict_fromkeys(Interpreter& run, const Value&, const Arguments& given) {
  const BoundArguments args("fromkeys()", given, {"iterable", "value"}, 1);
  Dict dict;
  for (Value& key : to_items(*args[0], run.budget())) {
    dict.set(std::move(key), args[1] ? *args[1] : Value(), run.budget());
  }
  return Value::dict(std::move(dict));
}

Value sequence_count(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("count()", given, {"value"}, 1);
  int64_t count = 0;
  for (const Value& item : self.seq()->items) count += equal(item, *args[0], run.budget());
  return count;
}

Value sequence_index(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("index()", given, {"value", "start", "stop"}, 1);
  const auto length = static_cast<int64_t>(self.seq()->items.size());
  const auto bound = [&](size_t i, int64_t fallback) {
    const int64_t at = args.integer(i, fallback);
    return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length);
  };
  for (int64_t i = bound(1, 0); i < bound(2, length); ++i) {
    if (equal(self.seq()->items[static_cast<size_t>(i)], *args[0], run.budget())) return i;
  }
  throw Error("index() did not find the value");
}

constexpr Method kDictMethods[] = {
    {"get", dict_get},    {"items", dict_items},       {"keys", dict_keys}, {"values", dict_values},
    {"copy", copy},       {"fromkeys", dict_fromkeys}, {"clear", nullptr},  {"pop", nullptr},
    {"popitem", nullptr}, {"setdefault", nullptr},     {"update", nullptr}};

constexpr Method kListMethods[] = {
    {"count", sequence_count}, {"index", sequence_index}, {"copy", copy},      {"append", nullptr},
    {"clear", nullptr},        {"extend", nullptr},       {"insert", nullptr}, {"pop", nullptr},
    {"remove", nullptr},       {"reverse", nullptr},      {"sort", nullptr}};

std::span<const Method> methods_of(const Value& object) {
  if (object.text()) return string_methods();
  if (object.as_dict()) return kDictMethods;
  if (object.is_kind(Sequence::Kind::kList)) return kListMethods;
  if (object.is_kind(Sequence::Kind::kTuple) || object.is_kind(Sequence::Kind::kRange)) {
    return std::span(kListMethods).first(2);
  }
  return {};
}

// Strings that a method makes of markup are markup.
Value as_markup(const Value& value) {
  if (value.text()) return value.text()->as_markup();
  if (!value.is_kind(Sequence::Kind::kList) && !value.is_kind(Sequence::Kind::kTuple)) return value;
  std::vector<Value> items;
  for (const Value& item : value.seq()->items) {
    items.push_back(item.text() ? Value(item.text()->as_markup()) : item);
  }
  return Value::sequence(value.seq()->kind, std::move(items));
}

const Method* look_up(const Value& object, std::string_view name) {
  const auto in = [&](std::span<const Method> table) -> const Method* {
    const auto found = std::ranges::find(table, name, &Method::name);
    return found == table.end() ? nullptr : &*found;
  };
  if (const Method* method = in(methods_of(object))) return method;
  return object.text() ? in(character_methods()) : nullptr;
}

}  // namespace

std::optional<Value> find_method(const Value& object, std::string_view name) {
  const Method* method = look_up(object, name);
  if (!method) return std::nullopt;
  if (!method->function) {
    return Value::undefined(
        fmt::format("'{}' of a {} is not open to templates", name, type_name(object)));
  }
  Object bound;
  bound.name = "builtin_function_or_method";
  bound.depth = object.depth() + 1;
  bound.call = [object, function = method->function](Interpreter& run, const Arguments& given) {
    const bool markup = object.text() && object.text()->is_markup();
    return markup ? as_markup(function(run, object, given)) : function(run, object, given);
  };
  return Value::object(std::move(bound));
}

}  // namespace nibble::jinja
