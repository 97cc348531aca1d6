// SPDX-License-Identifier: Apache-2.0
//
// Runs a model forward over token ids until each sequence of a batch ends. Prompts may differ in
// length: sequences are ragged, so nothing is padded and a batch gives what single runs give (as
// scheduler.h, which does the work, says). Knows ids only; text_generator.h adds the tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/generate/finish_reason.h"
#include "nibble/generate/generation_config.h"
#include "nibble/generate/scheduler.h"
#include "nibble/models/model.h"

namespace nibble {

struct GeneratedSequence {
  std::vector<int32_t> ids;  // the new tokens, without the prompt
  FinishReason finish = FinishReason::kLength;
};

// The time of a pass that computes prompt and later tokens is shared out by their numbers.
struct GenerationTimings {
  int64_t prompt_tokens = 0;   // of all sequences
  int64_t reused_tokens = 0;   // of them, those that were not computed: the cache held them
  int64_t decode_tokens = 0;   // new tokens but the first of each sequence, which prefill gives
  double prefill_seconds = 0;  // until the first token of every sequence is known
  double decode_seconds = 0;

  double prefill_tokens_per_second() const;  // of the tokens that were computed
  double decode_tokens_per_second() const;
};

struct GenerationResult {
  std::vector<GeneratedSequence> sequences;  // in the order of the prompts
  GenerationTimings timings;
};

struct GeneratorOptions {
  int64_t prefill_chunk = kPrefillChunk;  // prompt tokens per pass: bounds activation memory

  // Called for each new token, before the next is computed. Throwing Interrupted from it, or from
  // `progress`, stops the generation.
  std::function<void(int64_t sequence, int32_t id)> on_token;
  // Asked after on_token: true ends the sequence (FinishReason::kStopString).
  std::function<bool(int64_t sequence)> is_complete;
  Progress* progress = nullptr;  // prompt tokens read
};

class Generator {
 public:
  // Model and backend must outlive the generator. So many sequences stay cached when they end: a
  // prompt that begins with one of them, as the next turn of a chat does, is not read from the
  // start again.
  Generator(const Model& model, Backend& backend, int64_t kept_sequences = 0);

  // Throws Error for an empty batch or prompt, for a prompt as long as the context, and for a bad
  // config. Whatever it or a callback throws, the generator can go on with another batch.
  GenerationResult generate(const std::vector<std::vector<int32_t>>& prompts,
                            const GenerationConfig& config, const GeneratorOptions& options = {});

 private:
  Scheduler scheduler_;
};

}  // namespace nibble
