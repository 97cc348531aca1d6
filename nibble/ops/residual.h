// SPDX-License-Identifier: Apache-2.0
//
// The residual connection: the stream of hidden states plus what a sublayer adds.
#pragma once

#include "nibble/ops/context.h"

namespace nibble {

// a + b: two float32 tensors of one shape -> the same shape.
Tensor add(Context& ctx, const Tensor& a, const Tensor& b);

}  // namespace nibble
