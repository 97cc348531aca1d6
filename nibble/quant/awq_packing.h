// SPDX-License-Identifier: Apache-2.0
//
// The three orders in which AWQ files keep codes of 4 bits, each from and to a code a byte. All
// sizes are checked by the caller (awq.cc).
#pragma once

#include <cstdint>

#include "nibble/base/thread_pool.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// gemm: [n, outputs] uint8 as [n, outputs / 8] int32, eight outputs a word in the order 0, 2, 4, 6,
// 1, 3, 5, 7 from the lowest bits; n are inputs of the codes, groups of the zeros.
Tensor awq_gemm_words(const Tensor& by_input);
Tensor codes_of_awq_gemm(const Tensor& words);

// The same of codes as AffineGroup has them, in one step: [inputs, outputs / 8] int32 to
// [outputs, inputs / 2 rounded up] uint8.
Tensor row_codes_of_awq_gemm(const Tensor& words, ThreadPool& pool);

// gemv: groups of a row of zeros or scales, padded to whole runs of words that a warp reads: 8 for
// group sizes from 128 up, 16 for 64, 32 for 32; 0 for sizes that the kernel does not have.
int64_t awq_padded_groups(int64_t groups, int64_t group_size);

// gemv_fast: [outputs, inputs] uint8 as [outputs / 4, inputs] int16; four outputs together, of each
// 64 inputs that the kernel unpacks to neighbours.
Tensor awq_fast_words(const Tensor& codes);
Tensor codes_of_awq_fast(const Tensor& words, ThreadPool& pool);

}  // namespace nibble
