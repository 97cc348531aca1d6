// SPDX-License-Identifier: Apache-2.0
//
// Root mean square normalization (arXiv 1910.07467).
#pragma once

#include "nibble/ops/context.h"

namespace nibble {

// y = x / sqrt(mean(x^2) + eps) * weight over the last axis: x [.., width], weight [width], both
// float32 -> like x.
Tensor rms_norm(Context& ctx, const Tensor& x, const Tensor& weight, float eps);

struct NormedSum {
  Tensor sum, normed;  // a + b, and rms_norm of it
};

// The residual connection and the norm behind it, in one pass: a and b [.., width], both float32.
NormedSum add_rms_norm(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& weight,
                       float eps);

}  // namespace nibble
