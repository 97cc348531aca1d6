// SPDX-License-Identifier: Apache-2.0
//
// Round to nearest on a grid of scale and zero per group: the algorithm that needs no data, and the
// last step of those that do. Methods differ in how a grid follows from the smallest and the
// largest weight of its group.
#pragma once

#include <cstdint>

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

// Throws Error for what is no finite float matrix, and where a scale is beyond scale_dtype. Bytes
// do not depend on the number of threads.
Weight round_to_nearest(const Tensor& dense, ThreadPool& pool, const RtnOptions& options);

}  // namespace nibble
