// SPDX-License-Identifier: Apache-2.0
#include "cli/generation_options.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/output.h"

namespace nibble::cli {

void add_generation_options(CLI::App& command, GenerationOptions& options) {
  const auto group = [](CLI::Option* option) { return option->group("Generation"); };
  group(command.add_option("--max-new-tokens", options.max_new_tokens,
                           "Most tokens to generate (default: the model's setting, else 256)"));
  group(command.add_option("--temperature", options.temperature,
                           "Above 0: draw tokens at random; 0: always the likeliest (greedy)"));
  group(command.add_option("--top-k", options.top_k, "Draw from the K likeliest tokens; 0: all"));
  group(command.add_option("--top-p", options.top_p,
                           "Draw from the likeliest tokens that hold this probability together"));
  group(command.add_option("--min-p", options.min_p,
                           "Draw from tokens at least this likely relative to the likeliest"));
  group(command.add_option("--repetition-penalty", options.repetition_penalty,
                           "Above 1: tokens that came before become less likely"));
  group(command.add_option("--no-repeat-ngram-size", options.no_repeat_ngram_size,
                           "No run of this many tokens comes twice"));
  group(command.add_option("--seed", options.seed, "Same seed, same text")->capture_default_str());
  group(command.add_option("--stop", options.stop, "Stop after this text (repeatable)"))
      ->allow_extra_args(false);
  group(command.add_flag("--no-use-cache", options.no_use_cache,
                         "Compute every token from the start again: slow, same text"));
}

GenerationConfig generation_config(const std::string& folder, const GenerationOptions& options,
                                   int64_t default_new_tokens) {
  GenerationConfig config = GenerationConfig::load(folder);
  for (const std::string& field : config.ignored) {
    warn(fmt::format("the model's generation setting '{}' is not supported and has no effect",
                     field));
  }
  if (options.max_new_tokens) config.max_new_tokens = options.max_new_tokens;
  if (!config.max_new_tokens && !config.max_length) config.max_new_tokens = default_new_tokens;
  // Any option that shapes the draw asks for drawing; temperature 0 asks for greedy.
  if (options.temperature) config.do_sample = *options.temperature > 0;
  const bool shaped = options.top_k || options.top_p || options.min_p;
  if (shaped && !options.temperature) config.do_sample = true;
  config.temperature = options.temperature.value_or(config.temperature);
  config.top_k = options.top_k.value_or(config.top_k);
  config.top_p = options.top_p.value_or(config.top_p);
  if (options.min_p) config.min_p = options.min_p;
  config.repetition_penalty = options.repetition_penalty.value_or(config.repetition_penalty);
  config.no_repeat_ngram_size = options.no_repeat_ngram_size.value_or(config.no_repeat_ngram_size);
  config.seed = options.seed;
  if (!options.stop.empty()) config.stop_strings = options.stop;
  if (options.no_use_cache) config.use_cache = false;
  try {
    config.validate();
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return config;
}

nlohmann::ordered_json timings_json(const GenerationTimings& timings) {
  return {{"prompt_tokens", timings.prompt_tokens},
          {"reused_tokens", timings.reused_tokens},
          {"decode_tokens", timings.decode_tokens},
          {"prefill_seconds", timings.prefill_seconds},
          {"decode_seconds", timings.decode_seconds},
          {"prefill_tokens_per_second", timings.prefill_tokens_per_second()},
          {"decode_tokens_per_second", timings.decode_tokens_per_second()}};
}

std::string timings_line(const GenerationTimings& timings, int64_t new_tokens) {
  std::string line = fmt::format("prompt {} tokens", timings.prompt_tokens);
  if (timings.reused_tokens > 0) line += fmt::format(" ({} reused)", timings.reused_tokens);
  line += fmt::format(", {:.1f} tokens/s; generated {} tokens", timings.prefill_tokens_per_second(),
                      new_tokens);
  if (timings.decode_tokens > 0) {
    line += fmt::format(", {:.1f} tokens/s", timings.decode_tokens_per_second());
  }
  return line;
}

}  // namespace nibble::cli
