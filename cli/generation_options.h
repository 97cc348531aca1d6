// SPDX-License-Identifier: Apache-2.0
//
// How `run` and `chat` generate: the model's generation_config.json, with what the command line
// says on top.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

struct GenerationOptions {
  std::optional<int64_t> max_new_tokens;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k, no_repeat_ngram_size;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  bool no_use_cache = false;
};

void add_generation_options(CLI::App& command, GenerationOptions& options);

// The model's settings with the options on top; `default_new_tokens` where neither sets a length.
// Prints a warning for settings of the model that are not implemented. Throws UsageError for values
// out of range.
GenerationConfig generation_config(const std::string& folder, const GenerationOptions& options,
                                   int64_t default_new_tokens);

nlohmann::ordered_json timings_json(const GenerationTimings& timings);
// "prompt 12 tokens (8 reused), 345.6 tokens/s; generated 99 tokens, 56.7 tokens/s"
std::string timings_line(const GenerationTimings& timings, int64_t new_tokens);

}  // namespace nibble::cli
