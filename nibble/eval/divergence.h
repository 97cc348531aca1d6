// SPDX-License-Identifier: Apache-2.0
//
// How far a model's predictions are from those of a reference, token by token: what quantization or
// int8 activations cost. Both run over the same passes (eval/passes.h) at once, so that no logits
// are stored.
#pragma once

#include <cstdint>
#include <filesystem>

#include "nibble/eval/passes.h"

namespace nibble {

struct DivergenceResult {
  // Of a token: sum of p * ln(p / q) over the vocabulary, p the reference's probabilities, in nats.
  double mean_kl = 0, kl_standard_error = 0;  // taking tokens as independent
  double median_kl = 0, percentile_99_kl = 0, max_kl = 0;
  double same_top = 0;  // share of tokens for which both have the same most probable one
  double perplexity = 0, reference_perplexity = 0;
  int64_t tokens = 0;
  // Tokens through each model per second of its own time.
  double tokens_per_second = 0, reference_tokens_per_second = 0;
};

// A model and where it runs.
struct ModelOnBackend {
  const Model& model;
  Backend& backend;
};

// Throws Error when the vocabularies differ in size or nothing counts.
DivergenceResult divergence_of_sequence(ModelOnBackend model, ModelOnBackend reference,
                                        std::span<const int32_t> ids,
                                        const PassOptions& options = {});
DivergenceResult divergence_of_file(ModelOnBackend model, ModelOnBackend reference,
                                    const Tokenizer& tokenizer, const std::filesystem::path& file,
                                    const PassOptions& options = {});

}  // namespace nibble
