// SPDX-License-Identifier: Apache-2.0
//
// The triangular factor of a matrix's inverse that second-order quantization walks along. In
// double, as Hessians of real activations are close to singular. Results do not depend on the
// number of threads.
#pragma once

#include <optional>

#include "nibble/base/thread_pool.h"
#include "nibble/quant/upper_triangle.h"

namespace nibble {

// The upper triangular U with A⁻¹ = Uᵀ U, in float32, of a symmetric matrix A; nothing when A is
// not positive definite. `reversed` is the triangle of A with its rows and columns in reverse
// order, whose memory it works in.
std::optional<UpperTriangle<float>> upper_factor_of_inverse(UpperTriangle<double> reversed,
                                                            ThreadPool& pool);

}  // namespace nibble
