// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <limits>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

int64_t checked_numel(const Shape& shape, int64_t element_size) {
  bool empty = false;
  for (const int64_t d : shape) {
    if (d < 0) throw Error("shape has a negative dimension").got(to_string(shape));
    empty = empty || d == 0;
  }
  if (empty) return 0;
  int64_t numel = 1;
  int64_t bytes = element_size;
  for (const int64_t d : shape) {
    if (__builtin_mul_overflow(numel, d, &numel) || __builtin_mul_overflow(bytes, d, &bytes)) {
      throw Error("shape has more elements than 63 bits can count").got(to_string(shape));
    }
  }
  return numel;
}

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<Buffer> buffer, int64_t byte_offset)
    : dtype_(dtype),
      shape_(std::move(shape)),
      numel_(checked_numel(shape_, size_of(dtype))),
      offset_(byte_offset),
      buffer_(std::move(buffer)) {
  const auto size = static_cast<int64_t>(buffer_->size());
  if (offset_ < 0 || offset_ > size || nbytes() > size - offset_) {
    throw Error("tensor reaches past its buffer")
        .expected(fmt::format("at most {} bytes", size))
        .got(fmt::format("{} bytes from byte {}", nbytes(), offset_));
  }
}

Tensor Tensor::empty(DType dtype, Shape shape) {
  const int64_t bytes = checked_numel(shape, size_of(dtype)) * size_of(dtype);
  return Tensor(dtype, std::move(shape), Buffer::allocate(static_cast<size_t>(bytes)));
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
  Tensor tensor = empty(dtype, std::move(shape));
  if (tensor.nbytes() > 0) std::memset(tensor.raw(), 0, static_cast<size_t>(tensor.nbytes()));
  return tensor;
}

int64_t Tensor::dim(int64_t axis) const {
  const int64_t at = axis < 0 ? axis + rank() : axis;
  if (at < 0 || at >= rank()) {
    throw Error("tensor has no such axis")
        .expected(fmt::format("axis {}", axis))
        .got(to_string(shape_));
  }
  return shape_[static_cast<size_t>(at)];
}

std::span<const std::byte> Tensor::bytes() const {
  if (!defined()) return {};
  return {static_cast<const std::byte*>(raw()), static_cast<size_t>(nbytes())};
}

void* Tensor::raw() const { return static_cast<char*>(buffer_->data()) + offset_; }

Tensor Tensor::reshape(Shape shape) const { return reinterpret(dtype_, std::move(shape)); }

Tensor Tensor::slice_rows(int64_t begin, int64_t end) const {
  if (rank() == 0 || begin < 0 || begin > end || end > shape_[0]) {
    throw Error("rows out of range")
        .expected(fmt::format("rows of {}", to_string(shape_)))
        .got(fmt::format("[{}, {})", begin, end));
  }
  const int64_t row_bytes = shape_[0] == 0 ? 0 : nbytes() / shape_[0];
  Shape shape = shape_;
  shape[0] = end - begin;
  return Tensor(dtype_, std::move(shape), buffer_, offset_ + begin * row_bytes);
}

Tensor Tensor::reinterpret(DType dtype, Shape shape) const {
  if (checked_numel(shape, size_of(dtype)) * size_of(dtype) != nbytes()) {
    throw Error("cannot view a tensor under another shape")
        .expected(fmt::format("{} {}", torch_name(dtype_), to_string(shape_)))
        .got(fmt::format("{} {}", torch_name(dtype), to_string(shape)));
  }
  return Tensor(dtype, std::move(shape), buffer_, offset_);
}

void Tensor::check_access(DType wanted, bool write) const {
  if (!defined()) throw Error("tensor is undefined");
  if (wanted != dtype_) {
    throw Error("tensor has another dtype")
        .expected(std::string(torch_name(wanted)))
        .got(std::string(torch_name(dtype_)));
  }
  if (!device().is_cpu()) {
    throw Error("tensor is not on the host").expected("cpu").got(device().name());
  }
  if (write && !buffer_->writable()) throw Error("tensor is mapped read-only");
}

}  // namespace nibble
