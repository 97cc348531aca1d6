// SPDX-License-Identifier: Apache-2.0
//
// The values of the template engine: Python's None, bool, int (64 bits), float, str, list, tuple,
// dict, plus Jinja's Undefined, generators, namespaces and callables. Values are immutable and
// shared, but for namespaces and the position of a generator. Nothing here refers to the host.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "nibble/text/jinja/text.h"

namespace nibble::jinja {

class Budget;
class Interpreter;
class Value;
struct Arguments;

// A missing value: prints nothing, iterates as empty, and throws `message` for any other use.
struct Undefined {
  std::shared_ptr<const std::string> message;
};

struct None {
  bool operator==(const None&) const = default;
};

struct Range {
  int64_t start = 0, stop = 0, step = 1;
};

// Python's list, and what behaves like one; of sets only what views of dicts subtracted give, in
// the order of the first operand. Depth counts containers inside containers.
struct Sequence {
  enum class Kind { kList, kTuple, kRange, kKeys, kValues, kItems, kSet };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  int depth = 1;
  Range range;            // as given, of kRange
  bool is_group = false;  // a tuple of |groupby: its items are .grouper and .list too
};

// Keeps insertion order. A key that is set twice keeps its first place, as in Python.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string, size_t> index;  // hash_key(key) -> place in entries
  int depth = 1;

  void set(Value key, Value value, Budget& budget);  // throws for an unhashable key
  const Value* find(const Value& key, Budget& budget) const;
  const Value* find(std::string_view name) const;
};

// Items made on demand, once: what Jinja's lazy filters return.
struct Generator {
  std::function<std::optional<Value>()> next;
  int depth = 1;
};

// The one mutable object: {% set ns.name = value %}.
struct Namespace {
  Dict attributes;
};

// A macro, function, bound method, or `loop`; attributes are computed on request.
struct Object {
  std::string name;
  std::function<std::string()> shown;                               // empty: <name>
  std::function<Value(Interpreter&, const Arguments&)> call;        // empty: not callable
  std::function<std::optional<Value>(std::string_view)> attribute;  // empty: none
  std::function<int64_t()> length;                                  // empty: has no len()
  int depth = 1;
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
                            std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                            std::shared_ptr<Generator>, std::shared_ptr<Namespace>,
                            std::shared_ptr<const Object>>;

  Value() : data_(None{}) {}
  Value(bool value) : data_(value) {}     // NOLINT: a value is what it holds
  Value(int64_t value) : data_(value) {}  // NOLINT
  Value(double value) : data_(value) {}   // NOLINT
  Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}  // NOLINT
  Value(std::string text) : Value(Text(std::move(text))) {}                   // NOLINT
  Value(const char* text) : Value(std::string(text)) {}                       // NOLINT

  static Value undefined(std::string message);
  static Value sequence(Sequence::Kind kind, std::vector<Value> items);
  static Value list(std::vector<Value> items) {
    return sequence(Sequence::Kind::kList, std::move(items));
  }
  static Value tuple(std::vector<Value> items) {
    return sequence(Sequence::Kind::kTuple, std::move(items));
  }
  static Value range(Range range, std::vector<Value> items);
  static Value group(Value grouper, Value list);
  static Value dict(Dict dict);
  static Value generator(std::function<std::optional<Value>()> next, int source_depth);
  static Value name_space(std::shared_ptr<Namespace> space);
  static Value object(Object object);

  // The held alternative, or null.
  template <typename T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  const Text* text() const { return pointee<const Text>(); }
  const Sequence* seq() const { return pointee<const Sequence>(); }
  const Dict* as_dict() const { return pointee<const Dict>(); }
  Generator* generator() const { return pointee<Generator>(); }
  Namespace* name_space() const { return pointee<Namespace>(); }
  const Object* object() const { return pointee<const Object>(); }

  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  bool is_kind(Sequence::Kind kind) const { return seq() && seq()->kind == kind; }
  bool is_view() const { return is_kind(Sequence::Kind::kKeys) || is_kind(Sequence::Kind::kItems); }
  bool is_set_like() const { return is_view() || is_kind(Sequence::Kind::kSet); }
  bool same_object(const Value& other) const;  // Python's `is`
  int depth() const;                           // 0 for scalars and strings

 private:
  template <typename T>
  T* pointee() const {
    const auto* held = std::get_if<std::shared_ptr<T>>(&data_);
    return held ? held->get() : nullptr;
  }
  explicit Value(Data data) : data_(std::move(data)) {}

  Data data_;
};

// How a call was written: f(positional..., name=value...).
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<Text, Value>> named;  // names of a **dict may be user text
};

bool truthy(const Value& value);
std::string type_name(const Value& value);  // "str", "int", ...

// int for int and bool; double for those and float.
std::optional<int64_t> as_integer(const Value& value);
std::optional<double> as_number(const Value& value);

// A string equal for, and only for, equal values; throws for list, dict and the like.
std::string hash_key(const Value& value, Budget& budget);

// Python's == and < (which throws for types that have no order).
bool equal(const Value& a, const Value& b, Budget& budget);
bool less(const Value& a, const Value& b, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

// Throws the message of an undefined value; does nothing for others.
void require_defined(const Value& value);

// Python's str() and repr().
Text to_text(const Value& value, Budget& budget);
Text to_repr(const Value& value, Budget& budget);
std::string float_repr(double value);

// Decides whose words a string of a JSON document is; depth 0 is the document itself, `key` that of
// the object it is the value of, "" elsewhere.
struct JsonString {
  const std::string& text;
  int depth;
  bool is_key;
  std::string_view key;
};
using OriginRule = std::function<TextOrigin(const JsonString&)>;

// Throws Error for integers beyond 64 bits and nesting beyond kMaxValueDepth.
Value from_json(const nlohmann::ordered_json& json, const OriginRule& origin, Budget& budget);

}  // namespace nibble::jinja
