// SPDX-License-Identifier: Apache-2.0
//
// What stands beside tokenizer.json in a Hugging Face folder, and what transformers 5 makes of it:
//  - tokenizer_config.json, then special_tokens_map.json, name the special tokens; classes with
//    well-known defaults fill in what neither names;
//  - tokens of "added_tokens_decoder" and named special tokens that tokenizer.json does not list
//  are
//    added, in this order; besides the seven usual names those are all texts called *_token, and
//    what an object of "extra_special_tokens" names;
//  - when "add_bos_token" or "add_eos_token" is there, the two alone decide which special tokens
//    are put around a text (a missing one counts as false), whatever the post-processor says;
//  - a class that builds its own pipeline does so, with its options (tokenizer_class.h); a folder
//    that names no class gets that of config.json's "model_type".
// Everything else in these files is ignored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/added_tokens.h"

namespace nibble {

struct TokenizerConfig {
  std::string tokenizer_class;                       // without a trailing "Fast"; "" when unknown
  std::map<std::string, AddedToken> special_tokens;  // "bos_token", "image_token" and so on
  std::vector<AddedToken> extra_special_tokens;
  std::map<int64_t, AddedToken> added_tokens_decoder;
  std::optional<bool> add_bos_token, add_eos_token, add_prefix_space;
  bool legacy = false;
  nlohmann::json options = nlohmann::json::object();  // all of tokenizer_config.json
  std::map<std::string, std::string> chat_templates;  // by name
  std::map<std::string, int32_t> generation_ids;      // "bos_token_id" and so on

  const std::string& token(const std::string& name) const;  // "" when absent
};

// Both throw Error naming `source` on malformed JSON or members of the wrong type.
TokenizerConfig parse_tokenizer_config(std::string_view json, const std::string& source);
// Reads what `folder` has; all files are optional.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

// An AddedToken spelled as an object of tokenizer.json; throws Error.
AddedToken read_added_token(const nlohmann::json& object, const std::string& source);

}  // namespace nibble
