// SPDX-License-Identifier: Apache-2.0
//
// WordPiece as BERT has it: from left to right the longest piece that fits, pieces inside a word
// with a prefix ("##ing"); a word that does not come out even is unknown as a whole.
#pragma once

#include <memory>
#include <string>

#include "nibble/text/model.h"
#include "nibble/text/model_fields.h"
#include "nibble/text/prefix_trie.h"
#include "nibble/text/word_cache.h"

namespace nibble {

class WordPieceModel : public Model {
 public:
  // Reads "vocab", "unk_token", "continuing_subword_prefix" and "max_input_chars_per_word"
  // (characters above which a word is unknown), all of which must be there.
  explicit WordPieceModel(const ModelFields& fields);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<WordEncoder> start() const override;

 private:
  class Encoder;

  Vocabulary vocabulary_;
  std::unique_ptr<const PrefixTrie> trie_;
  std::unique_ptr<WordCache> cache_;
  int32_t inside_;  // the node behind the prefix; kNone: nothing goes on
  std::string unk_token_;
  int32_t unk_id_;  // -1: unknown words are an error
  int64_t max_characters_;
};

}  // namespace nibble
