// SPDX-License-Identifier: Apache-2.0
//
// The triangular factor of a matrix's inverse that second-order quantization walks along. In
// double, as Hessians of real activations are close to singular. Results do not depend on the
// number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nibble/base/thread_pool.h"

namespace nibble {

// The upper triangular U with A⁻¹ = Uᵀ U, in float32 [size, size], of a symmetric matrix A
// [size, size]; nothing when A is not positive definite. Works in the memory of the
// matrix, and of U.
std::optional<std::vector<float>> upper_factor_of_inverse(std::vector<double> matrix, int64_t size,
                                                          ThreadPool& pool);

}  // namespace nibble
