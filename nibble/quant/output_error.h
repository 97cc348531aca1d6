// SPDX-License-Identifier: Apache-2.0
//
// What errors in the weights of a Linear do to its outputs, exactly and without running it: the
// mean over the tokens of calibration of (d · x)² is d H dᵀ / 2 for a row d of errors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/quant/hessian.h"

namespace nibble {

class OutputError {
 public:
  // Throws Error for a Hessian of no tokens and one that is not finite.
  explicit OutputError(const Hessian& hessian);

  int64_t cols() const { return cols_; }

  // `errors` [mean_squares.size(), width]: rows of errors in columns [begin, begin + width), the
  // others being right. Each sum is in float32 over columns, and in double over these sums.
  void mean_squares(std::span<const float> errors, int64_t begin,
                    std::span<double> mean_squares) const;

 private:
  int64_t cols_;
  // [cols, cols]: half the Hessian on the diagonal, all of it above, nothing below.
  std::vector<float> upper_;
};

}  // namespace nibble
