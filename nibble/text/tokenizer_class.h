// SPDX-License-Identifier: Apache-2.0
//
// What transformers' tokenizer classes make of a vocabulary. A class builds its normalizer,
// pre-tokenizer and decoder itself and takes only the vocabulary, merges and, in some cases, the
// post-processor from tokenizer.json. Classes that are not listed here use the file as it is.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nibble/text/model_json.h"
#include "nibble/text/tokenizer_config.h"

namespace nibble {

// The parts of tokenizer.json that a class may replace; null where there is none.
struct TokenizerSections {
  nlohmann::json normalizer, pre_tokenizer, post_processor, decoder;
};

// The class of a folder whose tokenizer_config.json names none, by "model_type" of config.json; ""
// when that is not known.
std::string class_of_model_type(const std::string& model_type);

// Names of special tokens that a class has when the files do not say; "" for other names.
struct NamedToken {
  const char* name;
  const char* text;
  bool lstrip = false;  // takes the spaces before it
};
std::vector<NamedToken> default_special_tokens(const std::string& tokenizer_class);

// Whether the class makes BPE of a SentencePiece model, of whatever kind that is; else Unigram.
bool is_bpe_class(const std::string& tokenizer_class);

// Replaces what config.tokenizer_class builds itself, for models of the kind that it is for. A
// LlamaTokenizer over byte-level BPE (`byte_level`) is left alone, as transformers does.
void apply_class_rules(const TokenizerConfig& config, ModelType model, bool byte_level,
                       TokenizerSections& sections);

// The post-processor that the class puts in place of any other, as an object of tokenizer.json;
// null where it has none. `find` gives a token's id.
using FindToken = std::function<std::optional<int32_t>(std::string_view)>;
nlohmann::json class_post_processor(const TokenizerConfig& config, const FindToken& find);

}  // namespace nibble
