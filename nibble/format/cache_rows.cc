// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/cache_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nibble/format/int8_row.h"

namespace nibble {
namespace {

constexpr float kLargestHalf = 65504.0f;

fp16 saturated_half(float x) {
  return to_fp16(std::isfinite(x) ? std::clamp(x, -kLargestHalf, kLargestHalf) : x);
}

// Where the row begins among the elements, and its place among the scales.
size_t row_index(const CacheRows& cache, int64_t head, int64_t position) {
  return static_cast<size_t>(head * cache.capacity() + position);
}

template <typename T>
std::span<T> row_of(CacheRows& cache, size_t index, size_t size) {
  return cache.rows.mutable_data<T>().subspan(index * size, size);
}

template <typename T>
std::span<const T> row_of(const CacheRows& cache, size_t index, size_t size) {
  return cache.rows.data<T>().subspan(index * size, size);
}

}  // namespace

bool is_cache_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kI8;
}

int64_t cache_row_bytes(DType dtype, int64_t head_dim) {
  return head_dim * size_of(dtype) + (dtype == DType::kI8 ? size_of(DType::kF32) : 0);
}

void encode_cache_row(std::span<const float> row, CacheRows& cache, int64_t head,
                      int64_t position) {
  const size_t index = row_index(cache, head, position);
  switch (cache.dtype()) {
    case DType::kI8: {
      const float absmax = encode_int8_row(row, row_of<int8_t>(cache, index, row.size()));
      cache.scales.mutable_data<float>()[index] = absmax / kInt8Max;
      return;
    }
    case DType::kF16:
      std::ranges::transform(row, row_of<fp16>(cache, index, row.size()).begin(), saturated_half);
      return;
    default:
      std::ranges::copy(row, row_of<float>(cache, index, row.size()).begin());
  }
}

void decode_cache_row(const CacheRows& cache, int64_t head, int64_t position,
                      std::span<float> row) {
  const size_t index = row_index(cache, head, position);
  switch (cache.dtype()) {
    case DType::kI8: {
      const float scale = cache.scales.data<float>()[index];
      std::ranges::transform(row_of<int8_t>(cache, index, row.size()), row.begin(),
                             [scale](int8_t code) { return static_cast<float>(code) * scale; });
      return;
    }
    case DType::kF16:
      std::ranges::transform(row_of<fp16>(cache, index, row.size()), row.begin(),
                             [](fp16 half) { return to_float(half); });
      return;
    default:
      std::ranges::copy(row_of<float>(cache, index, row.size()), row.begin());
  }
}

void copy_cache_rows(const CacheRows& from, int64_t head, int64_t count, CacheRows& to) {
  const auto copy = [&](const Tensor& source, Tensor& target, int64_t row_bytes) {
    const auto at = [&](const Tensor& tensor) {
      return static_cast<std::byte*>(tensor.raw()) + head * tensor.dim(1) * row_bytes;
    };
    std::memcpy(at(target), at(source), static_cast<size_t>(count * row_bytes));
  };
  if (count == 0) return;
  copy(from.rows, to.rows, from.head_dim() * size_of(from.dtype()));
  if (from.dtype() == DType::kI8) copy(from.scales, to.scales, size_of(DType::kF32));
}

}  // namespace nibble
