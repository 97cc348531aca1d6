// SPDX-License-Identifier: Apache-2.0
//
// The negative log-likelihood of each next token: what perplexity averages.
#pragma once

#include "nibble/ops/context.h"

namespace nibble {

// logits [tokens, vocab] float32, targets [tokens] int32 on the host -> [tokens] float32 on the
// backend's device, in nats. Throws Error for a target outside the vocabulary.
Tensor cross_entropy(Context& ctx, const Tensor& logits, const Tensor& targets);

}  // namespace nibble
