// SPDX-License-Identifier: Apache-2.0
//
// A row-major view of typed bytes: dtype, shape, a shared Buffer and a byte offset. Cheap to copy;
// copies share the bytes. No strides, no broadcasting, no maths: those are the backends' and ops'.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nibble/base/half.h"
#include "nibble/tensor/buffer.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

using Shape = std::vector<int64_t>;

std::string to_string(const Shape& shape);  // "[2, 3]"

// Product of the dimensions, 1 for a 0-dim shape. Throws Error on a negative dimension or when the
// product or `element_size` times it does not fit into 63 bits.
int64_t checked_numel(const Shape& shape, int64_t element_size = 1);

// The DType of a C++ element type.
template <typename T>
struct DTypeOf;
// clang-format off
template <> struct DTypeOf<double>   { static constexpr DType value = DType::kF64; };
template <> struct DTypeOf<float>    { static constexpr DType value = DType::kF32; };
template <> struct DTypeOf<fp16>     { static constexpr DType value = DType::kF16; };
template <> struct DTypeOf<bf16>     { static constexpr DType value = DType::kBF16; };
template <> struct DTypeOf<int64_t>  { static constexpr DType value = DType::kI64; };
template <> struct DTypeOf<int32_t>  { static constexpr DType value = DType::kI32; };
template <> struct DTypeOf<int16_t>  { static constexpr DType value = DType::kI16; };
template <> struct DTypeOf<int8_t>   { static constexpr DType value = DType::kI8; };
template <> struct DTypeOf<uint16_t> { static constexpr DType value = DType::kU16; };
template <> struct DTypeOf<uint8_t>  { static constexpr DType value = DType::kU8; };
// clang-format on

class Tensor {
 public:
  Tensor() = default;  // "no tensor": defined() is false

  // A window on `buffer`. Throws Error when it reaches past the end.
  Tensor(DType dtype, Shape shape, std::shared_ptr<Buffer> buffer, int64_t byte_offset = 0);

  static Tensor empty(DType dtype, Shape shape);  // host memory, not initialized
  static Tensor zeros(DType dtype, Shape shape);
  template <typename T>
  static Tensor from(const std::vector<T>& values, Shape shape);

  bool defined() const { return buffer_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t dim(int64_t axis) const;  // negative axes count from the end
  int64_t numel() const { return numel_; }
  int64_t nbytes() const { return numel_ * size_of(dtype_); }
  Device device() const { return buffer_->device(); }
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }
  int64_t byte_offset() const { return offset_; }

  // Elements on the host. Throws Error when T is not the dtype, when the tensor lives on another
  // device or, for mutable_data, when the bytes are read-only (mapped).
  template <typename T>
  std::span<const T> data() const {
    check_access(DTypeOf<T>::value, false);
    return {static_cast<const T*>(raw()), static_cast<size_t>(numel_)};
  }
  template <typename T>
  std::span<T> mutable_data() {
    check_access(DTypeOf<T>::value, true);
    return {static_cast<T*>(raw()), static_cast<size_t>(numel_)};
  }
  std::span<const std::byte> bytes() const;
  void* raw() const;  // first byte, on whichever device

  Tensor reshape(Shape shape) const;                    // same bytes; throws if numel differs
  Tensor slice_rows(int64_t begin, int64_t end) const;  // rows of the first axis, same bytes
  Tensor reinterpret(DType dtype, Shape shape) const;   // same bytes under another dtype

 private:
  void check_access(DType wanted, bool write) const;

  DType dtype_ = DType::kF32;
  Shape shape_;
  int64_t numel_ = 0;
  int64_t offset_ = 0;
  std::shared_ptr<Buffer> buffer_;
};

// Host conversion from any float dtype to F64, F32, F16 or BF16, round to nearest even, through
// float32 as torch does. Throws Error for other dtypes.
Tensor to_dtype(const Tensor& tensor, DType dtype);

// Elements [begin, begin + out.size()), which are there, of a float32, float16 or bfloat16 tensor.
void read_floats(const Tensor& tensor, int64_t begin, std::span<float> out);

template <typename T>
Tensor Tensor::from(const std::vector<T>& values, Shape shape) {
  Tensor tensor = empty(DTypeOf<T>::value, std::move(shape));
  auto out = tensor.mutable_data<T>();
  if (out.size() != values.size()) tensor.reshape({static_cast<int64_t>(values.size())});  // throws
  for (size_t i = 0; i < out.size(); ++i) out[i] = values[i];
  return tensor;
}

}  // namespace nibble
