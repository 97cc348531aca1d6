// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/torch_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

namespace nibble {
namespace {

using Kind = PickleValue::Kind;
using Items = PickleValue::Items;

struct KnownClass {
  std::string_view module, name;
  TorchCallable callable;
};

constexpr std::array<KnownClass, 26> kClasses{{
    {"collections", "OrderedDict", TorchCallable::kOrderedDict},
    {"torch", "Size", TorchCallable::kTuple},
    {"torch", "device", TorchCallable::kOpaque},
    {"torch", "Tensor", TorchCallable::kTensorType},
    {"torch._tensor", "Tensor", TorchCallable::kTensorType},
    {"torch.nn.parameter", "Parameter", TorchCallable::kTensorType},
    {"torch.nn.parameter", "Buffer", TorchCallable::kTensorType},
    {"torch._utils", "_rebuild_tensor", TorchCallable::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", TorchCallable::kRebuildTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", TorchCallable::kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", TorchCallable::kRebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", TorchCallable::kRebuildParameter},
    {"torch._tensor", "_rebuild_from_type_v2", TorchCallable::kRebuildFromType},
    // Plain Python data beside the weights. Python 2 calls the module of builtins otherwise.
    {"_codecs", "encode", TorchCallable::kOpaque},
    {"collections", "Counter", TorchCallable::kOpaque},
    {"torch.serialization", "_get_layout", TorchCallable::kOpaque},
    {"builtins", "bytes", TorchCallable::kOpaque},
    {"builtins", "bytearray", TorchCallable::kOpaque},
    {"builtins", "set", TorchCallable::kOpaque},
    {"builtins", "frozenset", TorchCallable::kOpaque},
    {"builtins", "complex", TorchCallable::kOpaque},
    {"__builtin__", "bytes", TorchCallable::kOpaque},
    {"__builtin__", "bytearray", TorchCallable::kOpaque},
    {"__builtin__", "set", TorchCallable::kOpaque},
    {"__builtin__", "frozenset", TorchCallable::kOpaque},
    {"__builtin__", "complex", TorchCallable::kOpaque},
}};

struct StorageClass {
  std::string_view name;
  DType dtype;
};

constexpr std::array<StorageClass, 12> kStorages{{
    {"DoubleStorage", DType::kF64},
    {"FloatStorage", DType::kF32},
    {"HalfStorage", DType::kF16},
    {"BFloat16Storage", DType::kBF16},
    {"LongStorage", DType::kI64},
    {"IntStorage", DType::kI32},
    {"ShortStorage", DType::kI16},
    {"CharStorage", DType::kI8},
    {"ByteStorage", DType::kU8},
    {"BoolStorage", DType::kBool},
    {"ComplexFloatStorage", DType::kC64},
    {"UntypedStorage", DType::kU8},  // bytes: the tensor on it says its dtype
}};

std::optional<DType> storage_dtype(std::string_view module, std::string_view name) {
  if (module != "torch" && module != "torch.cuda" && module != "torch.storage") return std::nullopt;
  const auto found = std::ranges::find(kStorages, name, &StorageClass::name);
  return found == kStorages.end() ? std::nullopt : std::optional(found->dtype);
}

// A dtype under its one true name: aliases are resolved before pickling.
std::optional<DType> pickled_dtype(std::string_view module, std::string_view name) {
  if (module != "torch") return std::nullopt;
  const auto dtype = dtype_from_torch(name);
  return dtype && torch_name(*dtype) == name ? dtype : std::nullopt;
}

// More dimensions than any tensor of a model has; without a limit, many tensors could share one
// long list of sizes.
constexpr size_t kMaxRank = 32;

// A tuple or list of at most kMaxRank integers; nullopt when it is something else.
std::optional<std::vector<int64_t>> integers(const PickleValue& value) {
  if (!value.is(Kind::kTuple) && !value.is(Kind::kList)) return std::nullopt;
  if (value.items().size() > kMaxRank) return std::nullopt;
  std::vector<int64_t> numbers;
  numbers.reserve(value.items().size());
  for (const PickleValue* item : value.items()) {
    if (!item->is(Kind::kInt)) return std::nullopt;
    numbers.push_back(item->number());
  }
  return numbers;
}

// Whether a tensor's metadata asks for conjugation or negation on reading.
bool changes_values(const PickleValue& metadata) {
  return std::ranges::any_of(metadata.items(), [](const PickleValue* item) {
    return item->is(Kind::kBool) && item->number() != 0;
  });
}

}  // namespace

PickleValue* TorchObjects::find_class(std::string_view module, std::string_view name, int64_t at) {
  for (const KnownClass& known : kClasses) {
    if (known.module == module && known.name == name) {
      return heap_.make(Kind::kCallable, static_cast<int64_t>(known.callable));
    }
  }
  if (const auto dtype = storage_dtype(module, name)) {
    return heap_.make(Kind::kStorageType, static_cast<int64_t>(*dtype));
  }
  if (const auto dtype = pickled_dtype(module, name)) {
    return heap_.make(Kind::kDType, static_cast<int64_t>(*dtype));
  }
  throw malformed("pickle asks for a class or function that is not allowed", at)
      .got(fmt::format("{}.{}", module, name))
      .hint("pickles can run code: only what torch.save writes for a state dict is read");
}

PickleValue* TorchObjects::call(TorchCallable callable, const Items& arguments, int64_t at) {
  const auto require = [&](size_t least, size_t most, const char* name) {
    if (arguments.size() < least || arguments.size() > most) {
      throw malformed("pickle calls a function with the wrong number of values", at)
          .got(fmt::format("{} for {}", arguments.size(), name));
    }
  };
  switch (callable) {
    case TorchCallable::kOrderedDict:
      return ordered_dict(arguments, at);
    case TorchCallable::kTuple:
      require(1, 1, "torch.Size");
      if (arguments[0]->is(Kind::kTuple)) return arguments[0];
      break;
    case TorchCallable::kOpaque:
      return heap_.make(Kind::kOpaque);
    case TorchCallable::kRebuildTensor:
      require(4, 4, "_rebuild_tensor");
      return tensor(arguments, nullptr, nullptr, at);
    case TorchCallable::kRebuildTensorV2:
      require(6, 7, "_rebuild_tensor_v2");
      return tensor(arguments, nullptr, arguments.size() > 6 ? arguments[6] : nullptr, at);
    case TorchCallable::kRebuildTensorV3:
      require(7, 8, "_rebuild_tensor_v3");
      return tensor(arguments, arguments[6], arguments.size() > 7 ? arguments[7] : nullptr, at);
    case TorchCallable::kRebuildParameter:
      require(3, 4, "_rebuild_parameter");
      if (arguments[0]->is(Kind::kTensor)) return arguments[0];
      break;
    case TorchCallable::kRebuildFromType:
      require(4, 4, "_rebuild_from_type_v2");
      return from_type(arguments, at);
    case TorchCallable::kTensorType:
      break;
  }
  throw malformed("pickle calls a function with values that it does not take", at);
}

// Empty, or (as Python 2 writes it) from a list of pairs. The list is used up: calls that share one
// would multiply it.
PickleValue* TorchObjects::ordered_dict(const Items& arguments, int64_t at) {
  PickleValue* dict = heap_.make(Kind::kDict);
  if (arguments.empty()) return dict;
  if (!arguments[0]->is(Kind::kList)) {
    throw malformed("pickle makes an OrderedDict of something else than a list", at);
  }
  const Items pairs = std::exchange(arguments[0]->mutable_items(), {});
  for (const PickleValue* pair : pairs) {
    const bool is_pair = pair->is(Kind::kTuple) || pair->is(Kind::kList);
    if (!is_pair || pair->items().size() != 2) {
      throw malformed("pickle makes an OrderedDict of something else than pairs", at);
    }
    Items& items = dict->mutable_items();
    items.insert(items.end(), pair->items().begin(), pair->items().end());
  }
  return dict;
}

// _rebuild_tensor*(storage, storage_offset, size, stride, ...).
PickleValue* TorchObjects::tensor(const Items& arguments, const PickleValue* dtype,
                                  const PickleValue* metadata, int64_t at) {
  const auto shape = integers(*arguments[2]);
  const auto strides = integers(*arguments[3]);
  if (!arguments[0]->is(Kind::kStorage) || !arguments[1]->is(Kind::kInt) || !shape || !strides ||
      shape->size() != strides->size() || (dtype && !dtype->is(Kind::kDType))) {
    throw malformed("tensor in the pickle is malformed", at)
        .expected("a storage, an offset, sizes and as many strides");
  }
  if (metadata && changes_values(*metadata)) {
    throw malformed("tensor in the pickle is conjugated or negated lazily", at)
        .hint("save it after resolve_conj() and resolve_neg()");
  }
  PickledTensor made;
  made.storage = static_cast<size_t>(arguments[0]->number());
  made.dtype = dtype ? static_cast<DType>(dtype->number()) : storages_[made.storage].dtype;
  made.shape = *shape;
  made.strides = *strides;
  made.first = arguments[1]->number();
  made.at = at;
  tensors_.push_back(std::move(made));
  return heap_.make(Kind::kTensor, static_cast<int64_t>(tensors_.size()) - 1);
}

// _rebuild_from_type_v2(function, type, arguments, state): a tensor with attributes of its own,
// which mean nothing for the weights.
PickleValue* TorchObjects::from_type(const Items& arguments, int64_t at) {
  const PickleValue& function = *arguments[0];
  const bool known =
      function.is(Kind::kCallable) && arguments[1]->is(Kind::kCallable) &&
      static_cast<TorchCallable>(arguments[1]->number()) == TorchCallable::kTensorType &&
      arguments[2]->is(Kind::kTuple);
  // Not itself again: calls do not nest.
  if (!known || static_cast<TorchCallable>(function.number()) == TorchCallable::kRebuildFromType) {
    throw malformed("tensor in the pickle is of a class that is not read", at);
  }
  return call(static_cast<TorchCallable>(function.number()), arguments[2]->items(), at);
}

// ("storage", class, key, location, numel), in the legacy format with a window (key, begin, numel)
// or None behind.
PickleValue* TorchObjects::storage(const PickleValue& persistent_id, int64_t at) {
  const Items& id = persistent_id.items();
  const bool known = persistent_id.is(Kind::kTuple) && (id.size() == 5 || id.size() == 6) &&
                     id[0]->is(Kind::kString) && id[0]->text() == "storage" &&
                     id[1]->is(Kind::kStorageType) && id[2]->is(Kind::kString) &&
                     id[4]->is(Kind::kInt) && id[4]->number() >= 0;
  if (!known) {
    throw malformed("storage in the pickle is malformed", at)
        .expected("('storage', class, key, location, size)");
  }
  PickledStorage made;
  made.dtype = static_cast<DType>(id[1]->number());
  made.key = id[2]->text();
  made.numel = id[4]->number();
  made.window_numel = made.numel;
  made.at = at;
  if (id.size() == 6 && !id[5]->is(Kind::kNone)) {
    const Items& window = id[5]->items();
    const bool inside = id[5]->is(Kind::kTuple) && window.size() == 3 &&
                        window[1]->is(Kind::kInt) && window[2]->is(Kind::kInt) &&
                        window[1]->number() >= 0 && window[2]->number() >= 0 &&
                        window[2]->number() <= made.numel &&
                        window[1]->number() <= made.numel - window[2]->number();
    if (!inside) throw malformed("window on a storage in the pickle is malformed", at);
    made.window_begin = window[1]->number();
    made.window_numel = window[2]->number();
  }
  storages_.push_back(made);
  return heap_.make(Kind::kStorage, static_cast<int64_t>(storages_.size()) - 1);
}

Error TorchObjects::malformed(const char* what, int64_t at) const {
  return Error(what).file(path_).at_byte(at);
}

}  // namespace nibble
