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
#include "nibble/eval/passes.h"
#include "nibble/models/model.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

using PerplexityOptions = PassOptions;

struct PerplexityResult {
  double perplexity = 0;
  double nll = 0;             // mean negative log-likelihood of a token, in nats
  double standard_error = 0;  // of the perplexity, taking tokens as independent
  int64_t tokens = 0;         // scored
  int64_t passes = 0;         // windows or texts
  double seconds = 0;
  double tokens_per_second = 0;  // tokens through the model, scored or not
};

// What counts of a sequence, of texts and of a file: eval/passes.h. All throw Error when nothing
// does.
PerplexityResult perplexity_of_sequence(const Model& model, Backend& backend,
                                        std::span<const int32_t> ids,
                                        const PerplexityOptions& options = {});

PerplexityResult perplexity_of_texts(const Model& model, Backend& backend,
                                     const std::vector<std::vector<int32_t>>& texts,
                                     const PerplexityOptions& options = {});

PerplexityResult perplexity_of_file(const Model& model, const Tokenizer& tokenizer,
                                    Backend& backend, const std::filesystem::path& file,
                                    const PerplexityOptions& options = {});

}  // namespace nibble
