// SPDX-License-Identifier: Apache-2.0
//
// y = x Wᵀ + b with a weight of any layout: the op in which nearly all time is spent.
#pragma once

#include "nibble/ops/context.h"

namespace nibble {

// x [tokens, cols] float32, bias [rows] float32 or undefined -> [tokens, rows] float32.
// Throws Error when the shapes do not fit.
Tensor linear(Context& ctx, const PreparedWeight& weight, const Tensor& x, const Tensor& bias = {});

}  // namespace nibble
