// SPDX-License-Identifier: Apache-2.0
//
// The scales of consecutive blocks of 4-bit codes as floats, whatever form the weight has them in:
// float32 in place; narrow and nested ones are decoded, a few thousand at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/backend/cpu/weight_view.h"

namespace nibble::cpu {

// Elements [begin, begin + count) of an array of float32, float16 or bfloat16.
const float* floats_at(const void* from, DType dtype, int64_t begin, int64_t count,
                       std::vector<float>& scratch);

// Of blocks [begin, begin + count): pointers into the weight or into `scratch`.
const float* absmax_of(const CodeBlockView& block, int64_t begin, int64_t count,
                       std::vector<float>& scratch);
const float* zeros_of(const CodeBlockView& block, int64_t begin, int64_t count,
                      std::vector<float>& scratch);

}  // namespace nibble::cpu
