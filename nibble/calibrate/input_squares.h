// SPDX-License-Identifier: Apache-2.0
//
// How large the inputs of a model's Linears are: the diagonals of their Hessians, without the
// squares of memory. The model runs once, as it is, block by block.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/models/model.h"
#include "nibble/quant/weight_error.h"

namespace nibble {

// Of every Linear of the model, the output head included. Throws Error for tokens out of the
// vocabulary and activations that are not finite. Bytes do not depend on the number of threads.
InputSquares measure_input_squares(const Model& model, Backend& backend,
                                   std::span<const std::vector<int32_t>> sequences,
                                   Progress* progress = nullptr);

}  // namespace nibble
