// SPDX-License-Identifier: Apache-2.0
//
// Filters on lists, dicts and whatever else can be iterated. Those that Jinja2 writes as
// generators work on demand here too.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

// Reads "a.b.0" from an item; a missing part becomes `fallback` when there is one.
class AttributeGetter {
 public:
  // `path` is a string, an integer, or none for the item itself.
  AttributeGetter(const Value* path, const Value* fallback = nullptr) {
    if (fallback && !fallback->is_none()) fallback_ = *fallback;
    if (!path || path->is_none()) return;
    if (!path->text()) {
      parts_.push_back(*path);
      return;
    }
    const std::string& bytes = path->text()->bytes();
    for (size_t begin = 0; begin <= bytes.size();) {
      const size_t end = std::min(bytes.find('.', begin), bytes.size());
      const std::string part = bytes.substr(begin, end - begin);
      const bool is_number = !part.empty() && part.size() < 10 &&
                             part.find_first_not_of("0123456789") == std::string::npos;
      parts_.push_back(is_number ? Value(int64_t{std::stol(part)}) : Value(part));
      begin = end + 1;
    }
  }

  Value operator()(Value item, Budget& budget) const {
    for (const Value& part : parts_) {
      item = get_item(item, part, budget);
      if (fallback_ && item.is_undefined()) item = *fallback_;
    }
    return item;
  }

 private:
  std::vector<Value> parts_;
  std::optional<Value> fallback_;
};

Value ignore_case(const Value& value, bool case_sensitive) {
  return value.text() && !case_sensitive ? Value(to_lower(*value.text())) : value;
}

// The key that sort, min, max and unique compare by.
struct KeyFunction {
  AttributeGetter get;
  bool case_sensitive;
  Value operator()(const Value& item, Budget& budget) const {
    return ignore_case(get(item, budget), case_sensitive);
  }
};

// Iterates when the first item is asked for, as Python's generators do.
Puller lazily(const Value& value, Budget& budget) {
  return [value, &budget, pull = Puller()]() mutable {
    if (!pull) pull = iterate(value, budget);
    return pull();
  };
}

Value length(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("length", given, {});
  if (subject.text()) run.budget().spend_bytes(subject.text()->size());
  if (const auto size = length_of(subject)) return *size;
  throw Error(fmt::format("a {} has no length", type_name(subject)));
}

Value list(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("list", given, {});
  return Value::list(to_items(subject, run.budget()));
}

Value first(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("first", given, {});
  auto item = iterate(subject, run.budget())();
  return item ? *item : Value::undefined("No first item, sequence was empty.");
}

Value last(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("last", given, {});
  if (subject.generator()) throw Error("a generator has no last item");
  std::vector<Value> items = to_items(subject, run.budget());
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

// A generator over items that are there already.
Value generator_of(std::vector<Value> items) {
  const Value list = Value::list(std::move(items));
  return Value::generator(
      [list, at = size_t{0}]() mutable -> std::optional<Value> {
        if (at >= list.seq()->items.size()) return std::nullopt;
        return list.seq()->items[at++];
      },
      list.depth());
}

// A generator that makes its items when the first is asked for.
Value deferred(std::function<std::vector<Value>()> make, int depth) {
  return Value::generator(
      [make = std::move(make), items = std::vector<Value>(), at = size_t{0},
       made = false]() mutable -> std::optional<Value> {
        if (!std::exchange(made, true)) items = make();
        if (at >= items.size()) return std::nullopt;
        return items[at++];
      },
      depth);
}

Value reverse(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("reverse", given, {});
  std::vector<Value> items = to_items(subject, run.budget());
  std::reverse(items.begin(), items.end());
  if (subject.generator()) return Value::list(std::move(items));
  if (!subject.text()) return generator_of(std::move(items));
  Text out;
  for (const Value& item : items) out.append(*item.text());
  return out;
}

Value items(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("items", given, {});
  if (subject.is_undefined()) return generator_of({});
  if (!subject.as_dict()) {
    return Value::generator(
        []() -> std::optional<Value> { throw Error("Can only get item pairs from a mapping."); },
        subject.depth());
  }
  run.budget().spend_steps(static_cast<int64_t>(subject.as_dict()->entries.size()));
  std::vector<Value> pairs;
  for (const auto& [key, value] : subject.as_dict()->entries) {
    pairs.push_back(Value::tuple({key, value}));
  }
  return generator_of(std::move(pairs));
}

Value join(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("join", given, {"d", "attribute"});
  const AttributeGetter get(args.given(1));
  const Text separator = args[0] ? to_text(*args[0], run.budget()) : Text();
  std::vector<Text> parts;
  const Puller pull = iterate(subject, run.budget());
  while (auto item = pull()) {
    parts.push_back(to_text(get(std::move(*item), run.budget()), run.budget()));
  }
  if (!run.autoescape()) return join_texts(separator, parts, run.budget()).as_plain();
  // Markup among the parts makes all of it markup.
  const bool markup = separator.is_markup() || std::any_of(parts.begin(), parts.end(),
                                                           [](auto& p) { return p.is_markup(); });
  if (!markup) return join_texts(separator, parts, run.budget());
  for (Text& part : parts) part = escape(part);
  return join_texts(escape(separator), parts, run.budget()).as_markup();
}

Value map(Interpreter& run, const Value& subject, const Arguments& given) {
  if (!truthy(subject)) return generator_of({});
  const Puller pull = lazily(subject, run.budget());
  const int depth = subject.depth();
  const bool by_attribute = given.positional.empty() && !given.named.empty() &&
                            std::any_of(given.named.begin(), given.named.end(), [](const auto& n) {
                              return n.first.bytes() == "attribute";
                            });
  if (by_attribute) {
    const BoundArguments args("map", given, {"attribute", "default"});
    const AttributeGetter get(args[0], args[1]);
    return Value::generator(
        [&run, pull, get]() -> std::optional<Value> {
          auto item = pull();
          return item ? std::optional(get(std::move(*item), run.budget())) : std::nullopt;
        },
        depth);
  }
  Arguments rest = given;
  if (rest.positional.empty()) throw Error("map needs the name of a filter");
  const std::string name = to_text(rest.positional[0], run.budget()).bytes();
  rest.positional.erase(rest.positional.begin());
  return Value::generator(
      [&run, pull, name, rest]() -> std::optional<Value> {
        auto item = pull();
        return item ? std::optional(run.apply_filter(name, *item, rest)) : std::nullopt;
      },
      depth);
}

// select, reject, selectattr and rejectattr.
template <bool wanted, bool by_attribute>
Value select(Interpreter& run, const Value& subject, const Arguments& given) {
  if (!truthy(subject)) return generator_of({});
  Arguments rest = given;
  if (by_attribute && rest.positional.empty()) throw Error("the name of an attribute is missing");
  const AttributeGetter get(by_attribute ? &given.positional[0] : nullptr);
  if (by_attribute) rest.positional.erase(rest.positional.begin());
  std::optional<std::string> test;
  if (!rest.positional.empty()) {
    test = to_text(rest.positional[0], run.budget()).bytes();
    rest.positional.erase(rest.positional.begin());
  }
  const Puller pull = lazily(subject, run.budget());
  return Value::generator(
      [&run, pull, get, test, rest]() -> std::optional<Value> {
        while (auto item = pull()) {
          const Value looked_at = get(*item, run.budget());
          const bool passes = test ? run.apply_test(*test, looked_at, rest) : truthy(looked_at);
          if (passes == wanted) return item;
        }
        return std::nullopt;
      },
      subject.depth());
}

Value sort(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("sort", given, {"reverse", "case_sensitive", "attribute"});
  std::vector<KeyFunction> keys;  // "a,b" sorts by several attributes
  if (args.given(2) && args.given(2)->text()) {
    const std::string& names = args.text(2).bytes();
    for (size_t begin = 0; begin <= names.size();) {
      const size_t end = std::min(names.find(',', begin), names.size());
      const Value name(names.substr(begin, end - begin));
      keys.push_back({AttributeGetter(&name), args.flag(1)});
      begin = end + 1;
    }
  } else {
    keys.push_back({AttributeGetter(args.given(2)), args.flag(1)});
  }
  struct Keyed {
    Value key, item;
  };
  std::vector<Keyed> keyed;
  for (Value& item : to_items(subject, run.budget())) {
    std::vector<Value> parts;
    for (const KeyFunction& key : keys) parts.push_back(key(item, run.budget()));
    keyed.push_back({Value::list(std::move(parts)), std::move(item)});
  }
  const bool reversed = args.flag(0);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    return reversed ? less(b.key, a.key, run.budget()) : less(a.key, b.key, run.budget());
  });
  std::vector<Value> sorted;
  for (Keyed& entry : keyed) sorted.push_back(std::move(entry.item));
  return Value::list(std::move(sorted));
}

Value group_by(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("groupby", given, {"attribute", "default", "case_sensitive"}, 1);
  const KeyFunction key{AttributeGetter(args[0], args[1]), args.flag(2)};
  struct Keyed {
    Value key, item;
  };
  std::vector<Keyed> keyed;
  for (Value& item : to_items(subject, run.budget())) {
    keyed.push_back({key(item, run.budget()), std::move(item)});
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    return less(a.key, b.key, run.budget());
  });
  std::vector<Value> groups;
  for (size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> members;
    size_t end = begin;
    for (; end < keyed.size() && equal(keyed[begin].key, keyed[end].key, run.budget()); ++end) {
      members.push_back(keyed[end].item);
    }
    if (end == begin) throw Error("groupby got a value that does not equal itself");
    // The key as the first item has it: keys that differ in case only make one group.
    Value grouper = key.get(members[0], run.budget());
    groups.push_back(Value::group(std::move(grouper), Value::list(std::move(members))));
    begin = end;
  }
  return Value::list(std::move(groups));
}

// Drawn by the clock reading of the inputs, so that equal inputs make an equal prompt.
Value random_item(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("random", given, {});
  require_defined(subject);
  if (!subject.text() && !subject.seq()) {
    throw Error(fmt::format("random needs a sequence, not {}", type_name(subject)));
  }
  const std::vector<Value> all = to_items(subject, run.budget());
  if (all.empty()) return Value::undefined("No random item, sequence was empty.");
  return all[run.draw(all.size())];
}

Value dict_sort(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("dictsort", given, {"case_sensitive", "by", "reverse"});
  const std::string by = args[1] ? to_text(*args[1], run.budget()).bytes() : "key";
  if (by != "key" && by != "value") throw Error("dictsort sorts by key or value");
  require_defined(subject);
  if (!subject.as_dict())
    throw Error(fmt::format("dictsort needs a dict, not {}", type_name(subject)));
  const bool case_sensitive = args.flag(0), reversed = args.flag(2);
  std::vector<std::pair<Value, Value>> entries = subject.as_dict()->entries;
  const auto key = [&](const auto& entry) {
    return ignore_case(by == "key" ? entry.first : entry.second, case_sensitive);
  };
  std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
    return reversed ? less(key(b), key(a), run.budget()) : less(key(a), key(b), run.budget());
  });
  std::vector<Value> sorted;
  for (auto& [k, v] : entries) sorted.push_back(Value::tuple({std::move(k), std::move(v)}));
  return Value::list(std::move(sorted));
}

Value unique(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("unique", given, {"case_sensitive", "attribute"});
  const KeyFunction key{AttributeGetter(args.given(1)), args.flag(0)};
  const Puller pull = lazily(subject, run.budget());
  return Value::generator(
      [&run, pull, key,
       seen = std::unordered_set<std::string>()]() mutable -> std::optional<Value> {
        while (auto item = pull()) {
          if (seen.insert(hash_key(key(*item, run.budget()), run.budget())).second) return item;
        }
        return std::nullopt;
      },
      subject.depth());
}

template <bool largest>
Value extreme(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("min and max", given, {"case_sensitive", "attribute"});
  const KeyFunction key{AttributeGetter(args.given(1)), args.flag(0)};
  const Puller pull = iterate(subject, run.budget());
  auto best = pull();
  if (!best) return Value::undefined("No aggregated item, sequence was empty.");
  Value best_key = key(*best, run.budget());
  while (auto item = pull()) {
    Value item_key = key(*item, run.budget());
    require_defined(item_key);  // the later one is the one that Python asks
    const bool better =
        largest ? less(best_key, item_key, run.budget()) : less(item_key, best_key, run.budget());
    if (!better) continue;
    best = std::move(item);
    best_key = std::move(item_key);
  }
  return *best;
}

Value sum(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("sum", given, {"attribute", "start"});
  const AttributeGetter get(args.given(0));
  Value total = args[1] ? *args[1] : Value(int64_t{0});
  if (total.text()) throw Error("sum does not join strings");
  const Puller pull = iterate(subject, run.budget());
  while (auto item = pull()) {
    total = binary_operation(ast::BinaryOp::kAdd, total, get(std::move(*item), run.budget()),
                             run.budget());
  }
  return total;
}

Value batch(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("batch", given, {"linecount", "fill_with"}, 1);
  const auto number = as_number(*args[0]);
  if (number && *number > kMaxRange) throw Error("batch is asked for too large batches");
  const auto make = [&run, subject, limit = *args[0],
                     fill = args.given(1) ? *args.given(1) : Value()] {
    // What is no number is reached by none.
    const double size = as_number(limit).value_or(-1);
    std::vector<Value> batches, current;
    for (Value& item : to_items(subject, run.budget())) {
      if (static_cast<double>(current.size()) == size)
        batches.push_back(Value::list(std::exchange(current, {})));
      current.push_back(std::move(item));
    }
    if (!current.empty()) {
      const bool lacks = !as_number(limit) || static_cast<double>(current.size()) < size;
      if (!fill.is_none() && lacks && !as_integer(limit)) {
        require_defined(limit);
        throw Error(fmt::format("batch needs an integer, not {}", type_name(limit)));
      }
      while (!fill.is_none() && static_cast<double>(current.size()) < size) {
        run.budget().spend_steps(1);
        current.push_back(fill);
      }
      batches.push_back(Value::list(std::move(current)));
    }
    return batches;
  };
  return deferred(make, 1 + std::max(subject.depth(), args[1] ? args[1]->depth() : 0));
}

Value slice(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("slice", given, {"slices", "fill_with"}, 1);
  const auto make = [&run, subject, number = *args[0],
                     fill = args.given(1) ? *args.given(1) : Value()] {
    require_defined(number);
    const int64_t count = as_integer(number).value_or(0);
    if (count == 0 || count > kMaxRange) throw Error("slice needs a positive number of slices");
    run.budget().spend_steps(std::max<int64_t>(count, 0));
    const std::vector<Value> all = to_items(subject, run.budget());
    const auto total = static_cast<int64_t>(all.size());
    std::vector<Value> slices;
    auto at = all.begin();
    for (int64_t i = 0; i < count; ++i) {
      const int64_t longer = total % count;
      const auto end = at + total / count + (i < longer ? 1 : 0);
      std::vector<Value> part(at, end);
      if (!fill.is_none() && i >= longer) part.push_back(fill);
      slices.push_back(Value::list(std::move(part)));
      at = end;
    }
    return slices;
  };
  return deferred(make, 1 + std::max(subject.depth(), args[1] ? args[1]->depth() : 0));
}

constexpr FilterEntry kSequenceFilters[] = {
    {"length", length},
    {"count", length},
    {"list", list},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"items", items},
    {"join", join},
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"sort", sort},
    {"groupby", group_by},
    {"random", random_item},
    {"dictsort", dict_sort},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"sum", sum},
    {"batch", batch},
    {"slice", slice},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kSequenceFilters; }

}  // namespace nibble::jinja
