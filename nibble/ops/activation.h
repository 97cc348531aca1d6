// SPDX-License-Identifier: Apache-2.0
//
// Activation functions of feed-forward blocks.
#pragma once

#include "nibble/ops/context.h"

namespace nibble {

// silu(gate) * up, element by element (SwiGLU, arXiv 2002.05202): two float32 tensors of one shape
// -> the same shape.
Tensor silu_mul(Context& ctx, const Tensor& gate, const Tensor& up);

}  // namespace nibble
