// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/mlp.h"

#include "nibble/ops/activation.h"

namespace nibble {

GatedMlp::GatedMlp(const WeightLoader& loader, int64_t hidden, int64_t intermediate, bool bias)
    : gate_(loader, "gate_proj", intermediate, hidden, bias),
      up_(loader, "up_proj", intermediate, hidden, bias),
      down_(loader, "down_proj", hidden, intermediate, bias) {}

Tensor GatedMlp::forward(Context& ctx, const Tensor& x) const {
  const Tensor gate = gate_.forward(ctx, x);
  const Tensor up = up_.forward(ctx, x);
  return down_.forward(ctx, silu_mul(ctx, gate, up));
}

}  // namespace nibble
