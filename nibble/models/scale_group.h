// SPDX-License-Identifier: Apache-2.0
//
// Where an architecture lets the inputs of Linears be scaled without a change of what it computes:
// columns of the consumers times s, outputs of the absorber, which come to them by operations that
// are linear in each, divided by s. Names only; a model lists those of its blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {

struct ScaledLinear {
  std::string path;
  // Errors of the outputs say how much the model loses. Not so of q and k, which meet in a softmax.
  bool output_counts = true;
};

struct ScaleGroup {
  std::string absorber;  // path of an RmsNorm or a Linear
  std::vector<ScaledLinear> consumers;
  // With grouped queries heads of `head_dim` columns that follow each other, `sharing` of them,
  // have the same outputs of the absorber behind them.
  int64_t head_dim = 1, sharing = 1;

  // The output of the absorber that column `column` of the consumers depends on.
  int64_t source(int64_t column) const {
    return column / (head_dim * sharing) * head_dim + column % head_dim;
  }
};

}  // namespace nibble
