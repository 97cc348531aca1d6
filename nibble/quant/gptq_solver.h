// SPDX-License-Identifier: Apache-2.0
//
// GPTQ (arXiv 2210.17323): codes are chosen column by column, and what a column loses is made up
// for by the columns that follow, weighed by the inputs that calibration has seen. Knows matrices
// only, no models. Bytes do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/hessian.h"
#include "nibble/quant/upper_triangle.h"

namespace nibble {

struct GptqSolverOptions {
  RtnOptions grid;
  double damp_percent = 0.1;    // of the mean of the Hessian's diagonal, added to it
  bool desc_act = false;        // columns, and with them groups, in order of decreasing activation
  bool static_groups = false;   // scales from the weights as they were before any correction
  bool act_group_aware = true;  // that order within groups and of groups, which stay what they are
  // As the original code does it: a group that begins within a block of 128 columns has its scale
  // from weights that this block has not corrected, symmetric scales of groups without negative
  // weights are halved, and scales are rounded after the loop.
  bool parity = false;
};

// What the matrices with the same inputs share: the order of columns, and the factor that says how
// an error spreads over the columns that follow.
struct GptqFactor {
  std::vector<int32_t> order;  // [cols] column that comes k-th
  std::vector<int32_t> group;  // [cols] its group
  std::vector<bool> dead;      // [cols] column c is never other than 0 in calibration
  UpperTriangle<float> upper;  // in that order; H⁻¹ = upperᵀ upper
  double damp_percent = 0;     // what it took: more than asked for where H was not definite
};

// Throws Error for a Hessian of no tokens, one that is not finite, and one that no damping below 1
// makes positive definite.
GptqFactor factor_hessian(const Hessian& hessian, const GptqSolverOptions& options,
                          ThreadPool& pool);

struct GptqSolution {
  Weight weight;
  double loss = 0;  // mean squared error that the loop leaves in an output, damping included
};

// Throws Error for what round_to_nearest() refuses and for a factor of another size.
GptqSolution solve_gptq(const Tensor& dense, const GptqFactor& factor,
                        const GptqSolverOptions& options, ThreadPool& pool);

}  // namespace nibble
