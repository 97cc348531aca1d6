// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/linear.h"

#include <utility>

#include "nibble/base/error.h"
#include "nibble/ops/linear.h"

namespace nibble {

Linear::Linear(const WeightLoader& loader, std::string_view name, int64_t rows, int64_t cols,
               bool bias)
    : weight_(loader.linear(name, rows, cols, bias)) {
  if (bias) bias_ = loader.bias(name, rows);
}

Linear::Linear(std::shared_ptr<const PreparedWeight> weight) : weight_(std::move(weight)) {}

void Linear::set_weight(std::shared_ptr<const PreparedWeight> weight) {
  const Weight &old = weight_->weight(), &given = weight->weight();
  if (old.rows() != given.rows() || old.cols() != given.cols()) {
    throw Error("a weight cannot take the place of one of another shape")
        .expected(to_string(Shape{old.rows(), old.cols()}))
        .got(to_string(Shape{given.rows(), given.cols()}));
  }
  weight_ = std::move(weight);
}

Tensor Linear::forward(Context& ctx, const Tensor& x) const {
  return linear(ctx, *weight_, x, bias_);
}

std::vector<Tensor> Linear::forward(Context& ctx, const Tensor& x,
                                    std::initializer_list<const Linear*> layers) {
  std::vector<LinearOperands> operands;
  for (const Linear* layer : layers) operands.push_back({*layer->weight_, layer->bias_});
  return linear(ctx, x, operands);
}

}  // namespace nibble
