// SPDX-License-Identifier: Apache-2.0
//
// From logits to the next token id, with the processors of transformers' generate() in its order:
// repetition penalty and no-repeat n-gram always; temperature, top-k, top-p and min-p when
// sampling. One Sampler per sequence: it owns the sequence's random stream and scratch memory.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/generate/generation_config.h"

namespace nibble {

class Sampler {
 public:
  explicit Sampler(const GenerationConfig& config);

  // The next id after `ids` (prompt and generated so far). `logits` [vocab] are not changed.
  // Greedy: the highest score, the lowest id among equals. Sampling: probabilities in double.
  // Throws Error when the logits are not a distribution (NaN, or everything excluded).
  int32_t next(std::span<const float> logits, std::span<const int32_t> ids);

 private:
  using Candidate = std::pair<double, int32_t>;  // score, id

  void penalize_repetition(std::span<const int32_t> ids);
  void ban_repeated_ngrams(std::span<const int32_t> ids);
  int32_t best() const;
  int32_t draw();
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  void score_to_weight();  // candidates_: score -> exp(score - highest)

  GenerationConfig config_;
  Random random_;
  std::vector<float> scores_;          // [vocab]
  std::vector<bool> seen_;             // [vocab]
  std::vector<Candidate> candidates_;  // what is left to draw from
};

}  // namespace nibble
