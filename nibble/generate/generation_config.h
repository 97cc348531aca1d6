// SPDX-License-Identifier: Apache-2.0
//
// How text is generated: the fields of a generation_config.json that the engine honours, under
// their Hugging Face names and with transformers' defaults. A setting of the file that would change
// the output but is not implemented is named in `ignored`, never dropped in silence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

// New tokens when neither max_new_tokens nor max_length is set (transformers' max_length of 20,
// to which it adds the prompt's length in that case).
inline constexpr int64_t kDefaultNewTokens = 20;

struct GenerationConfig {
  std::optional<int64_t> max_new_tokens;  // wins over max_length
  std::optional<int64_t> max_length;      // counts the prompt

  bool do_sample = false;    // false: greedy, and the five fields below have no effect
  double temperature = 1.0;  // 0 is greedy too
  int64_t top_k = 50;        // 0: all
  double top_p = 1.0;        // 1: all
  std::optional<double> min_p;
  uint64_t seed = 0;  // not in the file; every sequence of a batch begins with this seed

  double repetition_penalty = 1.0;   // of tokens in the prompt or generated so far; 1: none
  int64_t no_repeat_ngram_size = 0;  // n-grams of this size never come twice; 0: off

  std::vector<int32_t> eos_token_id;  // any of them ends a sequence
  std::optional<int32_t> bos_token_id, pad_token_id;
  std::vector<std::string> stop_strings;  // each ends a sequence and stays in its text
  bool use_cache = true;

  // Fields of the file that ask for something else than their default and have no effect here.
  std::vector<std::string> ignored;

  bool is_greedy() const { return !do_sample || temperature == 0.0; }

  // How many tokens may follow a prompt of this length. Throws Error when max_length leaves none.
  int64_t new_tokens_after(int64_t prompt_tokens) const;

  // Throws Error (field, expected, got) on values out of range.
  void validate() const;

  // Takes each field that `object` has; null counts as absent. Throws Error with file and key on
  // wrong types, and validates.
  void merge_json(const nlohmann::ordered_json& object, const std::string& file);

  // generation_config.json of a model folder; where it is absent, the generation fields that old
  // versions of transformers kept in config.json. Token ids missing from the first are taken from
  // the second.
  static GenerationConfig load(const std::filesystem::path& folder);
};

}  // namespace nibble
