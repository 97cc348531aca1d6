// SPDX-License-Identifier: Apache-2.0
//
// Perplexity: exp of the mean negative log-likelihood of tokens given those before them, by Hugging
// Face's conventions. One long text is walked in windows; a list of texts is scored one by one.
// Memory is bounded: logits exist for a few rows at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/models/model.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

struct PerplexityOptions {
  int64_t context = 0;  // tokens of a window, or of a text before it is cut; 0: the model's context
  int64_t stride = 0;   // tokens from window to window, at most `context`; 0: equal to it
  int64_t limit = 0;    // texts of a list that count; 0: all
  Progress* progress = nullptr;
};

struct PerplexityResult {
  double perplexity = 0;
  double nll = 0;             // mean negative log-likelihood of a token, in nats
  double standard_error = 0;  // of the perplexity, taking tokens as independent
  int64_t tokens = 0;         // scored
  int64_t passes = 0;         // windows or texts
  double seconds = 0;
  double tokens_per_second = 0;  // tokens through the model, scored or not
};

// Windows over one token sequence: window k covers [k * stride, k * stride + context), and scores
// those of its tokens that no window before it scored. The first token of a window is never scored
// (nothing comes before it), so stride == context loses one token per window, as in transformers'
// guide to perplexity. Throws Error when there are fewer than two tokens, and on a context or
// stride out of range.
PerplexityResult perplexity_of_sequence(const Model& model, Backend& backend,
                                        std::span<const int32_t> ids,
                                        const PerplexityOptions& options = {});

// Each text for itself, cut at `context` tokens; all tokens but the first are scored.
PerplexityResult perplexity_of_texts(const Model& model, Backend& backend,
                                     const std::vector<std::vector<int32_t>>& texts,
                                     const PerplexityOptions& options = {});

// A file: .json (a list) or .jsonl (one value a line), each value a string or an object with
// "text", goes to perplexity_of_texts; everything else is one text for perplexity_of_sequence. The
// tokenizer adds its special tokens (BOS) to each text. Throws Error naming file and line.
PerplexityResult perplexity_of_file(const Model& model, const Tokenizer& tokenizer,
                                    Backend& backend, const std::filesystem::path& file,
                                    const PerplexityOptions& options = {});

}  // namespace nibble
