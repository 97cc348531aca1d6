// SPDX-License-Identifier: Apache-2.0
//
// What the schemes with floats of 8 bits share: the loop that makes the layout Float8Block of a
// matrix, whatever rule makes scales and codes, and the codes of a file, checked.
#pragma once

#include <functional>
#include <span>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/quant/fp8_config.h"
#include "nibble/quant/module_reader.h"

namespace nibble {

struct Float8Scale {
  float stored = 1.0f;  // what codes are multiplied by
  float factor = 1.0f;  // what a rule may multiply weights by
};

struct Float8Rule {
  DType codes = DType::kF8E4M3;
  std::function<Float8Scale(float largest)> scale;  // of a block's largest magnitude
  // Weights of a block to what codes are rounded from, in place; clamped to the codes' range after.
  std::function<void(std::span<float> weights, const Float8Scale& scale)> apply;
};

// Of a dense matrix, by the rule, in blocks; those at the lower and right edges may be cut off.
// Throws Error for what is not finite. Bytes do not depend on the number of threads.
Weight quantize_float8(const Tensor& dense, Fp8BlockSize block, const Float8Rule& rule,
                       ThreadPool& pool);

// "weight" [rows, cols], float8_e4m3fn or float8_e5m2; none of it NaN or infinite.
Tensor read_float8_codes(const ModuleReader& reader, int64_t rows, int64_t cols, ThreadPool& pool);

// The weight as the layout Float8Block in such blocks of such codes. Throws Error with the tensor
// "weight" and "cannot store this weight as WHAT".
const Float8Block& require_float8_blocks(const Weight& weight, const std::string& tensor,
                                         std::string_view what, Fp8BlockSize block, DType codes);

}  // namespace nibble
