// SPDX-License-Identifier: Apache-2.0
//
// The last steps of AWQ for a matrix whose scales are found: weights cut to the range that serves
// the outputs best, and rounded. Bytes do not depend on the number of threads.
#pragma once

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/matrix_scaling.h"
#include "nibble/quant/output_error.h"

namespace nibble {

struct AwqSolverOptions {
  RtnOptions grid;
  // Cut each group of a row to its largest magnitude times 1, 0.95 ... 0.55, whichever leaves the
  // least error of the group's part of the output; of equal ones the first.
  bool clip = true;
};

struct AwqSolution {
  Weight weight;    // of the scaled matrix, in the dtype of the one given
  double loss = 0;  // mean squared error of an output, in the units that outputs had
};

// `error`: of the inputs before they are scaled. Throws Error for what round_to_nearest() refuses.
AwqSolution solve_awq(const Tensor& dense, const MatrixScaling& scaling, const OutputError& error,
                      const AwqSolverOptions& options, ThreadPool& pool);

}  // namespace nibble
