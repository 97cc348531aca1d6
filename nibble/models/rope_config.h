// SPDX-License-Identifier: Apache-2.0
//
// The rotary parameters of a config.json: "rope_scaling" beside "rope_theta" (transformers 4) or
// "rope_parameters" (transformers 5), into one RopeConfig.
#pragma once

#include <limits>

#include "nibble/io/config_reader.h"
#include "nibble/ops/rope.h"

namespace nibble {

// Token positions have 32 bits.
inline constexpr int64_t kMostPositions = std::numeric_limits<int32_t>::max();

// Throws Error (file, key) for missing or mistyped keys, for a rope_type that is not supported and
// for parameters that give no finite frequencies with this head_dim.
RopeConfig read_rope_config(const ConfigReader& config, int64_t max_position_embeddings,
                            int64_t head_dim);

}  // namespace nibble
