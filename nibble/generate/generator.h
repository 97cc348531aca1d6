// SPDX-License-Identifier: Apache-2.0
//
// Runs a model forward over token ids until each sequence of a batch ends. Prompts may differ in
// length: sequences are ragged, so nothing is padded and a batch gives what single runs give. Knows
// ids only; text_generator.h adds the tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/generate/generation_config.h"
#include "nibble/models/model.h"

namespace nibble {

enum class FinishReason {
  kEndOfSequence,  // an eos_token_id came; it is the last id
  kStopString,     // a stop string is complete
  kLength,         // max_new_tokens or max_length
  kContextFull,    // the model has no position left (max_position_embeddings)
};

std::string_view finish_reason_name(FinishReason reason);  // "eos", "stop", "length", "context"

struct GeneratedSequence {
  std::vector<int32_t> ids;  // the new tokens, without the prompt
  FinishReason finish = FinishReason::kLength;
};

struct GenerationTimings {
  int64_t prompt_tokens = 0;   // of all sequences
  int64_t decode_tokens = 0;   // new tokens but the first of each sequence, which prefill gives
  double prefill_seconds = 0;  // until the first token of every sequence is known
  double decode_seconds = 0;

  double prefill_tokens_per_second() const;
  double decode_tokens_per_second() const;
};

struct GenerationResult {
  std::vector<GeneratedSequence> sequences;  // in the order of the prompts
  GenerationTimings timings;
};

struct GeneratorOptions {
  int64_t prefill_chunk = 512;  // tokens per forward pass of a prompt: bounds activation memory

  // Called for each new token, before the next is computed. Throwing Interrupted from it, or from
  // `progress`, stops the generation.
  std::function<void(int64_t sequence, int32_t id)> on_token;
  // Asked after on_token: true ends the sequence (FinishReason::kStopString).
  std::function<bool(int64_t sequence)> is_complete;
  Progress* progress = nullptr;  // prompt tokens read
};

class Generator {
 public:
  // Both must outlive the generator.
  Generator(const Model& model, Backend& backend) : model_(model), backend_(backend) {}

  // Throws Error for an empty batch or prompt, for a prompt as long as the context, and for a bad
  // config.
  GenerationResult generate(const std::vector<std::vector<int32_t>>& prompts,
                            const GenerationConfig& config,
                            const GeneratorOptions& options = {}) const;

 private:
  const Model& model_;
  Backend& backend_;
};

}  // namespace nibble
