// SPDX-License-Identifier: Apache-2.0
//
// The gated feed-forward block: down(silu(gate(x)) * up(x)) (SwiGLU, arXiv 2002.05202).
#pragma once

#include "nibble/nn/linear.h"

namespace nibble {

class GatedMlp {
 public:
  GatedMlp() = default;
  // Reads gate_proj, up_proj [intermediate, hidden] and down_proj [hidden, intermediate].
  GatedMlp(const WeightLoader& loader, int64_t hidden, int64_t intermediate, bool bias);

  Tensor forward(Context& ctx, const Tensor& x) const;  // [tokens, hidden] -> like x

  // Calls f(name, linear) in the order of the forward pass.
  template <typename F>
  void visit(const F& f) const {
    visit_linears(*this, f);
  }
  template <typename F>
  void visit(const F& f) {
    visit_linears(*this, f);
  }

 private:
  template <typename Self, typename F>
  static void visit_linears(Self& self, const F& f) {
    f("gate_proj", self.gate_);
    f("up_proj", self.up_);
    f("down_proj", self.down_);
  }

  Linear gate_, up_, down_;
};

}  // namespace nibble
