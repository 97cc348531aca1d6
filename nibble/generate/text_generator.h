// SPDX-License-Identifier: Apache-2.0
//
// Generator with a tokenizer: the text of each sequence as it grows, and stop strings. A
// continuation is what the new tokens add to the decoded prompt, so that a first word keeps its
// leading space.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/generate/generator.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

struct GeneratedText {
  std::vector<int32_t> prompt_ids, ids;  // ids: the new tokens, special ones included
  std::string text;                      // of the new tokens, without special tokens
  FinishReason finish = FinishReason::kLength;
};

struct TextResult {
  std::vector<GeneratedText> sequences;
  GenerationTimings timings;
};

struct TextGeneratorOptions {
  int64_t prefill_chunk = kPrefillChunk;  // see GeneratorOptions
  // Called for each new token with the characters that it completes, possibly none.
  std::function<void(int64_t sequence, std::string_view text)> on_text;
  Progress* progress = nullptr;
};

class TextGenerator {
 public:
  // Model and backend must outlive the generator; kept_sequences as in Generator.
  TextGenerator(const Model& model, std::shared_ptr<const Tokenizer> tokenizer, Backend& backend,
                int64_t kept_sequences = 0)
      : tokenizer_(std::move(tokenizer)), generator_(model, backend, kept_sequences) {}

  // Throws Error as Generator::generate() does, and can go on after it as that can.
  TextResult generate(const std::vector<std::vector<int32_t>>& prompts,
                      const GenerationConfig& config, const TextGeneratorOptions& options = {});

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  Generator generator_;
};

}  // namespace nibble
