// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/embedding.h"

#include "nibble/ops/embedding.h"

namespace nibble {

Embedding::Embedding(const WeightLoader& loader, std::string_view name, int64_t rows, int64_t cols,
                     std::string_view stored_as)
    : weight_(loader.embedding(name, rows, cols, stored_as)) {}

Tensor Embedding::forward(Context& ctx, const Tensor& ids) const {
  return embedding(ctx, *weight_, ids);
}

}  // namespace nibble
