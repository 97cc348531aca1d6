// SPDX-License-Identifier: Apache-2.0
//
// Round to nearest on a grid of scale and zero per group: the algorithm that needs no data, and the
// last step of those that do. Methods differ in how a grid follows from the smallest and the
// largest weight of its group.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// The step of a group's grid; rounded to the dtype in which files have it before a weight is.
using ScaleRule = float (*)(float smallest, float largest, int64_t bits);

struct RtnOptions {
  int64_t bits = 4;
  int64_t group_size = 128;  // columns; positive
  // The zero is the middle code, 2^(bits - 1); else the code of 0, round(-smallest / scale).
  bool sym = true;
  DType scale_dtype = DType::kF16;
  ScaleRule scale = nullptr;
};

struct AffineGrid {
  float scale = 0.0f, zero = 0.0f;
};

// The range always holds 0, so that 0 has a code and the zero is one. `group` is not empty.
AffineGrid grid_of(std::span<const float> group, const RtnOptions& options);

// Each weight of a row as its code decodes, without making the code.
void round_row(std::span<float> row, const RtnOptions& options);

// Throws Error where a scale is not finite: the weights were not, or scale_dtype is too narrow.
void check_scales(std::span<const float> scales, const Tensor& dense, DType scale_dtype);

// [rows, cols] on the grid of `options`: its tensors have their shapes and no values yet.
AffineGroup unfilled_affine_group(int64_t rows, int64_t cols, const RtnOptions& options);

// Throws Error for what is no finite float matrix, and where a scale is beyond scale_dtype. Bytes
// do not depend on the number of threads.
Weight round_to_nearest(const Tensor& dense, ThreadPool& pool, const RtnOptions& options);

}  // namespace nibble
