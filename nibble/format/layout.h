// SPDX-License-Identifier: Apache-2.0
//
// The closed list of layouts: how the stored bits of a weight decode to numbers. Kernels dispatch
// on it; which algorithm chose the codes, and how a file names and packs them, is not known here.
#pragma once

#include <cstdint>
#include <string_view>

namespace nibble {

enum class Layout : uint8_t {
  kDense,        // one float of the tensor's dtype per element
  kInt8Row,      // format/int8_row.h
  kCodeBlock,    // format/code_block.h
  kAffineGroup,  // format/affine_group.h
  kFloat8Block,  // format/float8_block.h
};

// "dense", "int8_row", "code_block", "affine_group", "float8_block"
std::string_view layout_name(Layout layout);

// What happens to the activations x of y = x Wᵀ.
enum class ActivationMode : uint8_t {
  kFloat,  // stay float
  // int8_row: int8 per row, outlier columns in float: LLM.int8() (arXiv 2208.07339, section 3).
  // Other packed layouts: int8 per group of columns (format/int8_activations.h).
  kInt8,
};

}  // namespace nibble
