// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/norm.h"

namespace nibble {

RmsNorm::RmsNorm(const WeightLoader& loader, std::string_view name, int64_t width, float eps)
    : weight_(loader.sub(name).parameter("weight", width)), eps_(eps) {}

Tensor RmsNorm::forward(Context& ctx, const Tensor& x) const {
  return rms_norm(ctx, x, weight_, eps_);
}

NormedSum RmsNorm::forward(Context& ctx, const Tensor& a, const Tensor& b) const {
  return add_rms_norm(ctx, a, b, weight_, eps_);
}

}  // namespace nibble
