// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/tensor_file.h"

#include <cstddef>
#include <cstring>
#include <utility>

namespace nibble {
namespace {

// Copies `count` elements of kSize bytes that stand `stride` elements apart.
template <size_t kSize>
void gather(const std::byte* from, int64_t stride, int64_t count, std::byte* to) {
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * static_cast<int64_t>(kSize), from + i * stride * int64_t{kSize}, kSize);
  }
}

void gather(int64_t size, const std::byte* from, int64_t stride, int64_t count, std::byte* to) {
  switch (size) {
    case 1:
      return gather<1>(from, stride, count, to);
    case 2:
      return gather<2>(from, stride, count, to);
    case 4:
      return gather<4>(from, stride, count, to);
    default:
      return gather<8>(from, stride, count, to);
  }
}

// The elements of a strided view in row-major order; `to` has room for all of them.
void copy_strided(const TensorInfo& info, const std::byte* from, std::byte* to) {
  const int64_t size = size_of(info.dtype);
  const size_t last = info.shape.size() - 1;  // a view without strides of its own is not strided
  const int64_t row_bytes = info.shape[last] * size;
  std::vector<int64_t> index(last, 0);
  int64_t at = 0;  // of the row's first element
  for (int64_t done = 0; done < info.nbytes; done += row_bytes) {
    gather(size, from + at * size, info.strides[last], info.shape[last], to + done);
    for (size_t axis = last; axis-- > 0;) {
      at += info.strides[axis];
      if (++index[axis] < info.shape[axis]) break;
      at -= info.shape[axis] * info.strides[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

bool TensorInfo::same_data(const TensorInfo& other) const {
  return offset == other.offset && dtype == other.dtype && shape == other.shape &&
         strides == other.strides && nbytes > 0;
}

TensorFile::TensorFile(std::string_view format, std::shared_ptr<const MappedFile> file,
                       std::vector<TensorInfo> tensors, std::map<std::string, std::string> metadata)
    : format_(format),
      path_(file->path()),
      tensors_(std::move(tensors)),
      metadata_(std::move(metadata)) {
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_[tensors_[i].name] = i;
  // Buffer has one constructor for both; writable = false keeps the promise.
  auto* data = const_cast<std::byte*>(file->bytes().data());
  const size_t size = file->bytes().size();
  buffer_ = std::make_shared<Buffer>(Device{}, data, size, std::move(file), /*writable=*/false);
}

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

Tensor TensorFile::tensor(const TensorInfo& info) const {
  // A mapping starts on a page, so the offset alone decides.
  if (info.strides.empty() && info.offset % size_of(info.dtype) == 0) {
    return Tensor(info.dtype, info.shape, buffer_, info.offset);
  }
  Tensor copy = Tensor::empty(info.dtype, info.shape);
  if (info.nbytes == 0) return copy;
  const std::byte* from = static_cast<const std::byte*>(buffer_->data()) + info.offset;
  auto* to = static_cast<std::byte*>(copy.raw());
  if (info.strides.empty()) {
    std::memcpy(to, from, static_cast<size_t>(info.nbytes));
  } else {
    copy_strided(info, from, to);
  }
  return copy;
}

}  // namespace nibble
