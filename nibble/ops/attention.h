// SPDX-License-Identifier: Apache-2.0
//
// Causal attention of a ragged batch: each sequence over its own keys and values.
#pragma once

#include <span>

#include "nibble/ops/context.h"

namespace nibble {

// query [tokens, heads, head_dim] float32 -> like query. Keys and values are of one shape and dtype
// that a cache has (format/cache_rows.h). The spans must cover all tokens, each once; heads is a
// multiple of the caches' kv_heads. `sliding_window` 0: all positions are seen.
Tensor attention(Context& ctx, const Tensor& query, std::span<const AttentionSpan> spans,
                 float scale, int64_t sliding_window);

}  // namespace nibble
