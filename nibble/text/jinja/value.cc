// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/limits.h"

namespace nibble::jinja {
namespace {

int checked_depth(int depth) {
  if (depth > kMaxValueDepth) throw Error("the template nests values too deeply");
  return depth;
}

bool both_numbers(const Value& a, const Value& b) {
  return as_number(a).has_value() && as_number(b).has_value();
}

// -1, 0, 1, or nothing where a NaN is involved. Integers compare exactly.
std::optional<int> compare_numbers(const Value& a, const Value& b) {
  const auto ia = as_integer(a), ib = as_integer(b);
  if (ia && ib) return (*ia > *ib) - (*ia < *ib);
  const double da = *as_number(a), db = *as_number(b);
  if (std::isnan(da) || std::isnan(db)) return std::nullopt;
  return (da > db) - (da < db);
}

// Whether every item of `a` is in `b`; both behave like sets.
bool all_in(const Value& a, const Value& b, Budget& budget) {
  const auto& items = a.seq()->items;
  return std::all_of(items.begin(), items.end(),
                     [&](const Value& item) { return contains(b, item, budget); });
}

class JsonReader {
 public:
  JsonReader(const OriginRule& origin, Budget& budget) : origin_(origin), budget_(budget) {}

  Value read(const nlohmann::ordered_json& json, std::string_view key = {}) {
    if (depth_ > kMaxValueDepth) {
      throw Error("a chat template input is nested too deeply");
    }
    switch (json.type()) {
      case nlohmann::ordered_json::value_t::boolean:
        return json.get<bool>();
      case nlohmann::ordered_json::value_t::number_integer:
        return json.get<int64_t>();
      case nlohmann::ordered_json::value_t::number_unsigned: {
        const auto number = json.get<uint64_t>();
        if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
          throw Error("a chat template input has an integer beyond 64 bits");
        }
        return static_cast<int64_t>(number);
      }
      case nlohmann::ordered_json::value_t::number_float:
        return json.get<double>();
      case nlohmann::ordered_json::value_t::string:
        return string(json.get_ref<const std::string&>(), false, key);
      case nlohmann::ordered_json::value_t::array:
        return array(json);
      case nlohmann::ordered_json::value_t::object:
        return object(json);
      default:
        return Value();
    }
  }

 private:
  Value string(const std::string& bytes, bool is_key, std::string_view key = {}) {
    budget_.spend_string(bytes.size());
    return Text(repair_utf8(bytes), origin_({bytes, depth_, is_key, key}));
  }

  Value array(const nlohmann::ordered_json& json) {
    std::vector<Value> items;
    ++depth_;
    for (const auto& item : json) items.push_back(read(item));
    --depth_;
    return Value::list(std::move(items));
  }

  Value object(const nlohmann::ordered_json& json) {
    Dict dict;
    ++depth_;
    for (const auto& [key, value] : json.items()) {
      dict.set(string(key, true), read(value, key), budget_);
    }
    --depth_;
    return Value::dict(std::move(dict));
  }

  const OriginRule& origin_;
  Budget& budget_;
  int depth_ = 0;
};

}  // namespace

void Dict::set(Value key, Value value, Budget& budget) {
  const auto [place, is_new] = index.try_emplace(hash_key(key, budget), entries.size());
  depth = std::max(depth, 1 + std::max(key.depth(), value.depth()));
  if (is_new) {
    entries.emplace_back(std::move(key), std::move(value));
  } else {
    entries[place->second].second = std::move(value);
  }
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  const auto place = index.find(hash_key(key, budget));
  return place == index.end() ? nullptr : &entries[place->second].second;
}

const Value* Dict::find(std::string_view name) const {
  const auto place = index.find("s" + std::string(name));
  return place == index.end() ? nullptr : &entries[place->second].second;
}

Value Value::undefined(std::string message) {
  return Value(Data(Undefined{std::make_shared<const std::string>(std::move(message))}));
}

Value Value::sequence(Sequence::Kind kind, std::vector<Value> items) {
  auto made = std::make_shared<Sequence>();
  made->kind = kind;
  made->items = std::move(items);
  for (const Value& item : made->items) made->depth = std::max(made->depth, 1 + item.depth());
  checked_depth(made->depth);
  return Value(Data(std::shared_ptr<const Sequence>(std::move(made))));
}

Value Value::range(Range range, std::vector<Value> items) {
  auto made = std::make_shared<Sequence>();
  made->kind = Sequence::Kind::kRange;
  made->items = std::move(items);
  made->range = range;
  return Value(Data(std::shared_ptr<const Sequence>(std::move(made))));
}

Value Value::group(Value grouper, Value list) {
  auto made = std::make_shared<Sequence>();
  made->kind = Sequence::Kind::kTuple;
  made->items = {std::move(grouper), std::move(list)};
  made->is_group = true;
  for (const Value& item : made->items) made->depth = std::max(made->depth, 1 + item.depth());
  checked_depth(made->depth);
  return Value(Data(std::shared_ptr<const Sequence>(std::move(made))));
}

Value Value::dict(Dict dict) {
  checked_depth(dict.depth);
  return Value(Data(std::make_shared<const Dict>(std::move(dict))));
}

Value Value::generator(std::function<std::optional<Value>()> next, int source_depth) {
  return Value(Data(
      std::make_shared<Generator>(Generator{std::move(next), checked_depth(source_depth + 1)})));
}

Value Value::name_space(std::shared_ptr<Namespace> space) { return Value(Data(std::move(space))); }

Value Value::object(Object object) {
  checked_depth(object.depth);
  return Value(Data(std::make_shared<const Object>(std::move(object))));
}

bool Value::same_object(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  return std::visit(
      [&](const auto& held) {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, Undefined>) {
          return held.message == std::get<T>(other.data_).message;
        } else if constexpr (std::is_same_v<T, std::shared_ptr<const Text>>) {
          // Whether CPython shares equal strings depends on how they were made; short ones mostly
          // are.
          return held->bytes() == std::get<T>(other.data_)->bytes();
        } else {
          return held == std::get<T>(other.data_);
        }
      },
      data_);
}

int Value::depth() const {
  if (const Sequence* s = seq()) return s->depth;
  if (const Dict* d = as_dict()) return d->depth;
  if (const Generator* g = generator()) return g->depth;
  if (const Object* o = object()) return o->depth;
  return 0;
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = as_number(value)) return *number != 0;
  if (const Text* text = value.text()) return !text->empty();
  if (const Sequence* seq = value.seq()) return !seq->items.empty();
  if (const Dict* dict = value.as_dict()) return !dict->entries.empty();
  if (const Object* object = value.object(); object && object->length) return object->length() > 0;
  return true;
}

std::string type_name(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.get<bool>()) return "bool";
  if (value.get<int64_t>()) return "int";
  if (value.get<double>()) return "float";
  if (value.text()) return "str";
  if (const Sequence* seq = value.seq()) {
    switch (seq->kind) {
      case Sequence::Kind::kList:
        return "list";
      case Sequence::Kind::kTuple:
        return "tuple";
      case Sequence::Kind::kRange:
        return "range";
      case Sequence::Kind::kKeys:
        return "dict_keys";
      case Sequence::Kind::kValues:
        return "dict_values";
      case Sequence::Kind::kItems:
        return "dict_items";
      case Sequence::Kind::kSet:
        return "set";
    }
  }
  if (value.as_dict()) return "dict";
  if (value.generator()) return "generator";
  if (value.name_space()) return "Namespace";
  return value.object()->name;
}

std::optional<int64_t> as_integer(const Value& value) {
  if (const bool* b = value.get<bool>()) return *b;
  if (const int64_t* i = value.get<int64_t>()) return *i;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const double* d = value.get<double>()) return *d;
  if (const auto i = as_integer(value)) return static_cast<double>(*i);
  return std::nullopt;
}

std::string hash_key(const Value& value, Budget& budget) {
  budget.spend_steps(1);
  if (const Text* text = value.text()) {
    budget.spend_bytes(text->size());
    return "s" + text->bytes();
  }
  if (const auto integer = as_integer(value)) return fmt::format("i{}", *integer);
  if (const double* d = value.get<double>()) {
    // 2.0 and 2 are one key.
    if (*d == std::floor(*d) && std::abs(*d) < 9e18) {
      return fmt::format("i{}", static_cast<int64_t>(*d));
    }
    return "f" + float_repr(*d);
  }
  if (value.is_none()) return "n";
  if (value.is_undefined()) return "u";
  if (value.is_kind(Sequence::Kind::kTuple)) {
    std::string key = "(";
    for (const Value& item : value.seq()->items) {
      const std::string part = hash_key(item, budget);
      key += fmt::format("{}:{}", part.size(), part);
    }
    budget.spend_bytes(key.size());
    return key;
  }
  if (value.is_kind(Sequence::Kind::kRange)) {
    // Ranges are equal when their items are.
    const auto& items = value.seq()->items;
    if (items.empty()) return "r";
    const int64_t first = *items.front().get<int64_t>();
    return fmt::format("r{},{},{}", items.size(), first,
                       items.size() > 1 ? value.seq()->range.step : 0);
  }
  const void* identity = value.object();
  if (value.name_space()) identity = value.name_space();
  if (value.generator()) identity = value.generator();
  if (value.is_kind(Sequence::Kind::kValues)) identity = value.seq();
  if (identity) return fmt::format("o{}", identity);
  throw Error(fmt::format("a {} can not be a key", type_name(value)));
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.spend_steps(1);
  if (both_numbers(a, b)) return compare_numbers(a, b) == 0;
  if (a.text() && b.text()) {
    budget.spend_bytes(std::min(a.text()->size(), b.text()->size()));
    return a.text()->bytes() == b.text()->bytes();
  }
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_set_like() && b.is_set_like()) {
    return a.seq()->items.size() == b.seq()->items.size() && all_in(a, b, budget);
  }
  const bool by_identity = a.is_kind(Sequence::Kind::kValues);
  if (a.seq() && b.seq() && a.seq()->kind == b.seq()->kind && !by_identity) {
    const auto &x = a.seq()->items, &y = b.seq()->items;
    if (x.size() != y.size()) return false;
    for (size_t i = 0; i < x.size(); ++i) {
      if (!equal(x[i], y[i], budget)) return false;
    }
    return true;
  }
  if (a.as_dict() && b.as_dict()) {
    if (a.as_dict()->entries.size() != b.as_dict()->entries.size()) return false;
    for (const auto& [key, value] : a.as_dict()->entries) {
      const Value* other = b.as_dict()->find(key, budget);
      if (!other || !equal(value, *other, budget)) return false;
    }
    return true;
  }
  return a.same_object(b);
}

bool less(const Value& a, const Value& b, Budget& budget) {
  budget.spend_steps(1);
  require_defined(a);
  require_defined(b);
  if (both_numbers(a, b)) return compare_numbers(a, b) == -1;
  if (a.text() && b.text()) {
    budget.spend_bytes(std::min(a.text()->size(), b.text()->size()));
    return a.text()->bytes() < b.text()->bytes();  // UTF-8 sorts as its code points do
  }
  if (a.seq() && b.seq() && a.seq()->kind == b.seq()->kind &&
      a.seq()->kind <= Sequence::Kind::kTuple) {
    const auto &x = a.seq()->items, &y = b.seq()->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i], budget)) return less(x[i], y[i], budget);
    }
    return x.size() < y.size();
  }
  // Of sets the one inside the other is less.
  if (a.is_set_like() && b.is_set_like()) {
    return a.seq()->items.size() < b.seq()->items.size() && all_in(a, b, budget);
  }
  throw Error(fmt::format("{} and {} have no order", type_name(a), type_name(b)));
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (const Text* text = container.text()) {
    if (!item.text()) {
      require_defined(item);
      throw Error(fmt::format("'in' on a string takes a string, not {}", type_name(item)));
    }
    budget.spend_bytes(text->size());
    return find_bytes(text->bytes(), item.text()->bytes(), 0) != std::string::npos;
  }
  if (const Dict* dict = container.as_dict()) return dict->find(item, budget) != nullptr;
  if (container.is_undefined()) return false;
  if (const Sequence* seq = container.seq()) {
    const bool is_pair = item.is_kind(Sequence::Kind::kTuple) && item.seq()->items.size() == 2;
    if (seq->kind == Sequence::Kind::kKeys || seq->kind == Sequence::Kind::kSet) {
      hash_key(item, budget);  // throws for what can not be inside
    } else if (seq->kind == Sequence::Kind::kItems && is_pair) {
      hash_key(item.seq()->items[0], budget);
    }
    return std::any_of(seq->items.begin(), seq->items.end(),
                       [&](const Value& held) { return equal(held, item, budget); });
  }
  if (Generator* generator = container.generator()) {
    while (const auto held = generator->next()) {
      if (equal(*held, item, budget)) return true;
    }
    return false;
  }
  throw Error(fmt::format("a {} is not iterable", type_name(container)));
}

void require_defined(const Value& value) {
  if (const Undefined* undefined = value.get<Undefined>()) throw Error(*undefined->message);
}

Value from_json(const nlohmann::ordered_json& json, const OriginRule& origin, Budget& budget) {
  return JsonReader(origin, budget).read(json);
}

}  // namespace nibble::jinja
