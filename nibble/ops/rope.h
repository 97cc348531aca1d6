// SPDX-License-Identifier: Apache-2.0
//
// Rotary position embedding (arXiv 2104.09864) and the ways of stretching it to longer contexts,
// under the names of Hugging Face's rope_scaling / rope_parameters.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nibble/ops/context.h"

namespace nibble {

struct RopeConfig {
  std::string rope_type = "default";  // default, linear, dynamic, llama3, yarn
  double rope_theta = 10000.0;
  double partial_rotary_factor = 1.0;
  double factor = 1.0;
  // Positions that the model was pretrained on, before stretching; llama3 and yarn read it.
  int64_t original_max_position_embeddings = 0;                    // 0: max_position_embeddings
  int64_t max_position_embeddings = 0;                             // dynamic reads it
  double low_freq_factor = 1.0, high_freq_factor = 4.0;            // llama3
  double beta_fast = 32.0, beta_slow = 1.0;                        // yarn (arXiv 2309.00071)
  std::optional<double> attention_factor, mscale, mscale_all_dim;  // yarn
  bool truncate = true;                                            // yarn
};

struct RopeFrequencies {
  std::vector<float> inv_freq;     // [rotary_dim / 2]
  float attention_scaling = 1.0f;  // on cos and sin
};

// The frequencies for a sequence of `length` positions (only "dynamic" depends on it, and only
// beyond max_position_embeddings). Follows transformers' modeling_rope_utils.py step by step, in
// float32 where that computes in float32: equal but for the last bit of pow(). Throws Error for an
// unknown rope_type and for parameters that give no finite frequencies.
RopeFrequencies rope_frequencies(const RopeConfig& config, int64_t head_dim, int64_t length);

// Rows [begin, end) that turn by frequencies of their own.
struct RopeRange {
  int64_t begin = 0, end = 0;
  Tensor inv_freq;  // [rotary_dim / 2], as long as the other rows'
};

struct RopeInput {
  Tensor x;            // [tokens, heads, head_dim] float32; inputs differ in their heads alone
  Tensor norm_weight;  // [head_dim] float32: of the norm of each head before it turns; or undefined
};

struct RopeOptions {
  Tensor positions;  // [tokens] int32
  Tensor inv_freq;   // [rotary_dim / 2] float32
  float attention_scaling = 1.0f;
  float norm_eps = 0.0f;
  std::span<const RopeRange> others = {};  // disjoint, in ascending order
};

// The inputs, normed where they have a weight for that, with each pair of a head turned by its
// angle.
std::vector<Tensor> rope(Context& ctx, std::span<const RopeInput> inputs,
                         const RopeOptions& options);

}  // namespace nibble
