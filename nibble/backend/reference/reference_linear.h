// SPDX-License-Identifier: Apache-2.0
//
// y = x Wᵀ + b for every layout and activation mode, one output element at a time: what the fast
// kernels are compared with. Shapes and dtypes arrive checked (backend.h).
#pragma once

#include "nibble/format/weight.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// x [tokens, cols], bias [rows] or undefined, y [tokens, rows], all float32.
// Float activations: sums in double over the decoded row, rounded once.
// Int8 activations: LLM.int8() (arXiv 2208.07339, section 3), as the comments in the source say.
void reference_linear(const Weight& weight, const Tensor& x, const Tensor& bias, Tensor& y);

}  // namespace nibble
