// SPDX-License-Identifier: Apache-2.0
//
// What a pickle holds, as far as state dicts need it: plain data, containers that point to it, and
// references to the few things of torch that are understood (torch_objects.h). A heap owns all of
// it, so values may point at each other in any way, and destroying them never recurses.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

namespace nibble {

struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,    // number
    kInt,     // number
    kString,  // text, also of Python 2's byte strings
    kOpaque,  // understood well enough to be passed over; text: the digits of a long integer
    kTuple,
    kList,
    kDict,         // items: key, value, key, value
    kCallable,     // number: a TorchCallable
    kStorageType,  // number: a DType
    kDType,        // number: a DType
    kStorage,      // number: index into TorchObjects::storages()
    kTensor,       // number: index into TorchObjects::tensors()
  };
  using Items = std::vector<PickleValue*>;

  Kind kind = Kind::kNone;
  // Small, since one byte of a hostile file can ask for one value.
  std::variant<int64_t, std::string_view, std::unique_ptr<Items>> content = int64_t{0};

  bool is(Kind wanted) const { return kind == wanted; }
  int64_t number() const { return std::get<int64_t>(content); }
  std::string_view text() const { return std::get<std::string_view>(content); }

  // Of a container; empty ones own no memory.
  const Items& items() const {
    static const Items kNoItems;
    const auto* owned = std::get_if<std::unique_ptr<Items>>(&content);
    return owned == nullptr ? kNoItems : **owned;
  }
  Items& mutable_items() {
    if (!std::holds_alternative<std::unique_ptr<Items>>(content)) {
      content = std::make_unique<Items>();
    }
    return *std::get<std::unique_ptr<Items>>(content);
  }
};

// "a dict", "a string": for errors.
std::string_view kind_name(PickleValue::Kind kind);

class PickleHeap {
 public:
  PickleValue* make(PickleValue::Kind kind) {
    values_.emplace_back().kind = kind;
    return &values_.back();
  }
  PickleValue* make(PickleValue::Kind kind, int64_t number) {
    PickleValue* value = make(kind);
    value->content = number;
    return value;
  }
  PickleValue* make(PickleValue::Kind kind, std::string_view text) {
    PickleValue* value = make(kind);
    value->content = text;
    return value;
  }

 private:
  std::deque<PickleValue> values_;
};

}  // namespace nibble
