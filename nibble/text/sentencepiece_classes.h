// SPDX-License-Identifier: Apache-2.0
//
// The tokenizer classes of transformers whose vocabularies come of SentencePiece: one entry each of
// the table that tokenizer_class.h answers from.
#pragma once

#include <string>
#include <vector>

#include "nibble/text/model_json.h"
#include "nibble/text/tokenizer_class.h"
#include "nibble/text/tokenizer_config.h"

namespace nibble {

struct TokenizerClass {
  ModelType model;
  void (*build)(const TokenizerConfig&, TokenizerSections&);
  std::vector<NamedToken> tokens;
  // What stands around one text and around two; null: what the files say. Words are A and B for the
  // texts, names of special tokens without "_token", and tokens in angle brackets as they are; each
  // may end in a colon and a type id.
  const char* single = nullptr;
  const char* pair = nullptr;
};

// Classes of transformers that rearrange a SentencePiece model in a way that is not here, most of
// them for translation. Classes that are neither here nor in the table take it as it is.
bool has_rules_of_its_own(const std::string& name);

// Null for all other classes.
const TokenizerClass* find_sentencepiece_class(const std::string& name);

}  // namespace nibble
