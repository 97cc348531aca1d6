// SPDX-License-Identifier: Apache-2.0
//
// What the classes and functions in a pickled state dict mean: a closed list, by name. Calling one
// makes a value here and nothing else. Storages and tensors are written down as they are described;
// whether their bytes exist is for torch_file.cc.
//
// Source: PyTorch, torch/_utils.py (_rebuild_*) and torch/serialization.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/pickle_value.h"
#include "nibble/tensor/dtype.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

enum class TorchCallable {
  kOrderedDict,
  kTuple,   // torch.Size
  kOpaque,  // torch.device and the like: the result has no meaning for weights
  kTensorType,
  kRebuildTensor,
  kRebuildTensorV2,
  kRebuildTensorV3,
  kRebuildParameter,
  kRebuildFromType,
};

struct PickledStorage {
  DType dtype = DType::kU8;
  std::string_view key;
  int64_t numel = 0;
  // A storage of the legacy format may be a window on the one of that key.
  int64_t window_begin = 0, window_numel = 0;  // in elements
  int64_t at = 0;                              // byte of the file that describes it
};

struct PickledTensor {
  size_t storage = 0;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<int64_t> strides;  // in elements
  int64_t first = 0;             // element of the storage
  int64_t at = 0;                // byte of the file that describes it
};

class TorchObjects {
 public:
  // Errors name `path`, which must outlive this.
  explicit TorchObjects(const std::filesystem::path& path) : path_(path) {}

  PickleHeap& heap() { return heap_; }
  const std::vector<PickledStorage>& storages() const { return storages_; }
  const std::vector<PickledTensor>& tensors() const { return tensors_; }

  // For the machine. `at` is the byte of the file that the instruction stands at. All throw Error.
  PickleValue* find_class(std::string_view module, std::string_view name, int64_t at);
  PickleValue* call(TorchCallable callable, const PickleValue::Items& arguments, int64_t at);
  PickleValue* storage(const PickleValue& persistent_id, int64_t at);

 private:
  PickleValue* ordered_dict(const PickleValue::Items& arguments, int64_t at);
  PickleValue* tensor(const PickleValue::Items& arguments, const PickleValue* dtype,
                      const PickleValue* metadata, int64_t at);
  PickleValue* from_type(const PickleValue::Items& arguments, int64_t at);
  Error malformed(const char* what, int64_t at) const;

  const std::filesystem::path& path_;
  PickleHeap heap_;
  std::vector<PickledStorage> storages_;
  std::vector<PickledTensor> tensors_;
};

}  // namespace nibble
