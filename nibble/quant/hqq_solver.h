// SPDX-License-Identifier: Apache-2.0
//
// Half-quadratic quantization: the scale of a group follows from its range, the zero minimizes the
// error in a norm below 1, which large errors hardly count in (Badri and Shaji, "Half-Quadratic
// Quantization of Large Machine Learning Models", 2023). Needs no data.
#pragma once

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/quant/hqq_config.h"
#include "nibble/quant/hqq_packing.h"

namespace nibble {

// `shape` fits(). Scales and zeros are rounded to the dtype of `dense`. Throws Error for what is no
// finite float matrix. Bytes do not depend on the number of threads.
Weight solve_hqq(const Tensor& dense, ThreadPool& pool, const HqqShape& shape,
                 const HqqWeightParams& params);

}  // namespace nibble
