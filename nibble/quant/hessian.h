// SPDX-License-Identifier: Apache-2.0
//
// What calibration remembers of the inputs of a Linear: the sum of x xᵀ over its tokens, the
// Hessian of the squared error of its outputs but for a factor, and how large each input is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/quant/upper_triangle.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

class Hessian {
 public:
  explicit Hessian(int64_t cols);

  // x [tokens, cols] float32 on the host. Bytes do not depend on the number of threads.
  void add(const Tensor& x, ThreadPool& pool);

  int64_t cols() const { return cols_; }
  int64_t tokens() const { return tokens_; }
  // 2 / tokens * sum of x_i x_j.
  double at(int64_t i, int64_t j) const;
  // Mean of |x_i|.
  double mean_magnitude(int64_t i) const;

 private:
  int64_t cols_, tokens_ = 0;
  UpperTriangle<double> sums_;
  std::vector<double> magnitudes_;  // [cols], sums of |x_i|
};

}  // namespace nibble
