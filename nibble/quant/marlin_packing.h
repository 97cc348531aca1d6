// SPDX-License-Identifier: Apache-2.0
//
// The order in which the Marlin kernel wants 4-bit symmetric weights, and in which files of GPTQ
// and AWQ exist that were saved for it: 16 x 16 tiles, four of which a warp reads as the fragments
// of its matrix instruction. Words [cols / 16, 2 * rows] int32, scales [groups, rows].
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/quant/module_reader.h"
#include "nibble/quant/scheme.h"

namespace nibble {

// True for the shapes that can be stored: whole tiles of inputs, whole runs of 64 outputs.
bool fits_marlin(int64_t rows, int64_t cols);
inline constexpr const char* kMarlinShapes = "multiples of 64 rows and 16 columns";

// A code matrix [rows, cols] uint8 to and from the words.
Tensor marlin_words(const Tensor& code_matrix);
Tensor codes_of_marlin(const Tensor& words, int64_t rows, int64_t cols, ThreadPool& pool);

// Scales [groups, rows] of any 16-bit dtype from the order of rows to the kernel's, and back.
Tensor marlin_scales(const Tensor& scales);
Tensor scales_of_marlin(const Tensor& scales);

// Files of AWQ call the tensors "qweight" and "scales", those of GPTQ "B" and "s".
struct MarlinNames {
  std::string_view words, scales;
};

Weight read_marlin(const ModuleReader& reader, const MarlinNames& names, int64_t rows, int64_t cols,
                   int64_t group_size, ThreadPool& pool);

// Throws Error unless the weight has symmetric groups of 4 bits in order, and a shape that fits.
std::vector<NamedTensor> write_marlin(const Weight& weight, const MarlinNames& names,
                                      const std::string& prefix, std::string_view what);

}  // namespace nibble
