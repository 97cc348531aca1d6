// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/torch_storages.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

bool is_row_major(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (size_t axis = tensor.shape.size(); axis-- > 0;) {
    if (tensor.shape[axis] == 1) continue;  // then its stride has no meaning
    if (tensor.strides[axis] != expected) return false;
    expected *= tensor.shape[axis];
  }
  return true;
}

// The element after the last one that a view which is not empty reaches; nullopt when that is no
// number of 63 bits, or when a stride or the first element is negative.
std::optional<int64_t> end_of(const PickledTensor& tensor) {
  int64_t last = tensor.first;
  if (last < 0) return std::nullopt;
  for (size_t axis = 0; axis < tensor.shape.size(); ++axis) {
    int64_t reach = 0;
    if (tensor.strides[axis] < 0 ||
        __builtin_mul_overflow(tensor.shape[axis] - 1, tensor.strides[axis], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return std::nullopt;
    }
  }
  int64_t end = 0;
  if (__builtin_add_overflow(last, int64_t{1}, &end)) return std::nullopt;
  return end;
}

}  // namespace

TensorInfo TorchStorages::place(std::string name, const PickledTensor& tensor,
                                const PickledStorage& storage) const {
  TensorInfo info;
  info.name = std::move(name);
  info.dtype = tensor.dtype;
  info.shape = tensor.shape;
  const auto error = [&](const char* what) {
    return Error(what).file(path_).tensor(info.name).at_byte(tensor.at);
  };
  const int64_t size = size_of(info.dtype);
  int64_t numel = 0;
  try {
    numel = checked_numel(info.shape, size);
  } catch (Error& failure) {
    throw failure.file(path_).tensor(info.name).at_byte(tensor.at);
  }
  const auto found = bytes_.find(std::string(storage.key));
  if (found == bytes_.end()) {
    throw error("storage of the tensor is not in the file").got(std::string(storage.key));
  }
  if (numel == 0) return info;

  // A storage counts in its own dtype, a tensor in its own.
  const Bytes& bytes = found->second;
  const int64_t storage_size = size_of(storage.dtype);
  if (storage.numel > bytes.size / storage_size) {
    throw error("storage of the tensor is shorter than the pickle says")
        .expected(fmt::format("{} elements of {} bytes", storage.numel, storage_size))
        .got(fmt::format("{} bytes", bytes.size));
  }
  const int64_t window_bytes = storage.window_numel * storage_size;
  const std::optional<int64_t> end = end_of(tensor);
  if (!end || *end > window_bytes / size) {
    throw error("tensor reaches past its storage")
        .expected(fmt::format("at most {} elements of {} bytes", window_bytes / size, size))
        .got(fmt::format("sizes {}, strides {}, first element {}", to_string(tensor.shape),
                         to_string(tensor.strides), tensor.first));
  }
  if (numel > file_size_ / size) {
    throw error("tensor repeats its storage to more bytes than the file has")
        .expected(fmt::format("at most {} bytes", file_size_))
        .got(fmt::format("{} elements of {} bytes", numel, size));
  }
  info.offset = bytes.offset + storage.window_begin * storage_size + tensor.first * size;
  info.nbytes = numel * size;
  if (!is_row_major(tensor)) info.strides = tensor.strides;
  return info;
}

}  // namespace nibble
