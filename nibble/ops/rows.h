// SPDX-License-Identifier: Apache-2.0
//
// Picks rows of a matrix, such as the last token of each sequence.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/ops/context.h"

namespace nibble {

// Rows `rows` of x [tokens, width] float32 -> [rows.size(), width]. Throws Error for a row that x
// does not have.
Tensor select_rows(Context& ctx, const Tensor& x, std::span<const int64_t> rows);

}  // namespace nibble
