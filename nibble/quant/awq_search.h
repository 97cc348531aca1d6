// SPDX-License-Identifier: Apache-2.0
//
// The search of AWQ (arXiv 2306.00978) for the scales of inputs: columns that meet large inputs are
// multiplied, so that rounding harms them less, and whatever makes the inputs divides them. Knows
// matrices only, no models. Results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/hessian.h"
#include "nibble/quant/output_error.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct AwqScales {
  std::vector<float> of_sources;  // what each source is divided by
  double ratio = 0;               // between inputs and weights; of scales that are all 1 it is 0
  std::vector<double> rounded;    // by matrix: mean squared error of an output without scaling
};

// For matrices with the same inputs, `inputs`, of which `error` was made; sources[c] is the number
// of what input c is made from, 0 up, and inputs of one source get one scale.
// Ratios r = 0, 1/20 ... 19/20 give s = x^r / (w^(1 - r) + 1e-4), x the mean magnitude of an input
// and w that of its weights in units of the largest of their group, clamped and centred as AutoAWQ
// does. The lowest sum of squared errors of all outputs wins, of equal ones the first; scales stay
// 1 where none is better than that. Throws Error when no error is a number, and for what
// round_to_nearest() refuses of the matrices.
AwqScales search_awq_scales(std::span<const Tensor> matrices, std::span<const int32_t> sources,
                            const Hessian& inputs, const OutputError& error, const RtnOptions& grid,
                            ThreadPool& pool);

// Of ratio r, for sources with these means. Exposed for tests against other implementations.
std::vector<float> awq_scales_of_ratio(std::span<const float> inputs,
                                       std::span<const float> weights, float ratio);

}  // namespace nibble
