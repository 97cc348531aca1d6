// SPDX-License-Identifier: Apache-2.0
//
// How a KV cache stores its rows; a row is the key or the value of one position and KV head:
//
//   float32   as it is
//   float16   rounded to nearest even; a finite number beyond 65504 becomes 65504, not infinity
//   int8      codes with one float32 scale a row: scale = max |x| / 127, x = code * scale
//
// One scale a row, because a row is written once and read at once: no other row moves its scale.
// There is no zero point: rotation turns keys through both signs, and values have no side. A row of
// int8 that holds NaN or infinity decodes to NaN, and so is found as one of floats is.
//
// The scalar functions here are the specification; faster paths are tested equal to them.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "nibble/tensor/tensor.h"

namespace nibble {

// The keys, or the values, of one sequence and layer.
struct CacheRows {
  Tensor rows;    // [kv_heads, capacity, head_dim] float32, float16 or int8
  Tensor scales;  // [kv_heads, capacity] float32, of int8 rows only

  CacheRows() = default;
  CacheRows(Tensor elements, Tensor of_rows = {})
      : rows(std::move(elements)), scales(std::move(of_rows)) {}

  DType dtype() const { return rows.dtype(); }
  int64_t kv_heads() const { return rows.dim(0); }
  int64_t capacity() const { return rows.dim(1); }
  int64_t head_dim() const { return rows.dim(2); }
  int64_t nbytes() const { return rows.nbytes() + (scales.defined() ? scales.nbytes() : 0); }
};

bool is_cache_dtype(DType dtype);  // float32, float16 or int8

// Bytes of one row of `head_dim` elements with its scale.
int64_t cache_row_bytes(DType dtype, int64_t head_dim);

// Stores `row` [head_dim] as the row of `head` and `position`; the inverse of it. Both are in
// range, and the tensors on the host.
void encode_cache_row(std::span<const float> row, CacheRows& cache, int64_t head, int64_t position);
void decode_cache_row(const CacheRows& cache, int64_t head, int64_t position, std::span<float> row);

// Copies positions [0, count) of `head`, as they are stored, to a cache of the same dtype that may
// have another capacity.
void copy_cache_rows(const CacheRows& from, int64_t head, int64_t count, CacheRows& to);

}  // namespace nibble
