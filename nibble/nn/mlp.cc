// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/mlp.h"

#include "nibble/ops/activation.h"

namespace nibble {

GatedMlp::GatedMlp(const WeightLoader& loader, int64_t hidden, int64_t intermediate, bool bias)
    : gate_(loader, "gate_proj", intermediate, hidden, bias),
      up_(loader, "up_proj", intermediate, hidden, bias),
      down_(loader, "down_proj", hidden, intermediate, bias) {}

Tensor GatedMlp::forward(Context& ctx, const Tensor& x) const {
  const std::vector<Tensor> gate_up = Linear::forward(ctx, x, {&gate_, &up_});
  return down_.forward(ctx, silu_mul(ctx, gate_up[0], gate_up[1]));
}

}  // namespace nibble
