// SPDX-License-Identifier: Apache-2.0
//
// The table that turns token ids into hidden states; never quantized. Its weight may be shared with
// the output head.
#pragma once

#include <memory>

#include "nibble/nn/weight_loader.h"
#include "nibble/ops/context.h"

namespace nibble {

class Embedding {
 public:
  Embedding() = default;
  // Reads `name`.weight [rows, cols], or the weight of module `stored_as` (see WeightLoader).
  Embedding(const WeightLoader& loader, std::string_view name, int64_t rows, int64_t cols,
            std::string_view stored_as = "");

  Tensor forward(Context& ctx, const Tensor& ids) const;  // [tokens] int32 -> [tokens, cols]

  const std::shared_ptr<const PreparedWeight>& weight() const { return weight_; }

 private:
  std::shared_ptr<const PreparedWeight> weight_;
};

}  // namespace nibble
