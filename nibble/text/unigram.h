// SPDX-License-Identifier: Apache-2.0
//
// The unigram language model (Kudo 2018, arXiv:1804.10959): of all ways to cut a word into pieces
// the one whose scores add up highest, found by dynamic programming over the bytes (Viterbi). Ids
// equal those of the Hugging Face tokenizers library. Time is linear in the word's length times the
// length of the longest piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/model.h"
#include "nibble/text/model_fields.h"
#include "nibble/text/prefix_trie.h"
#include "nibble/text/word_cache.h"

namespace nibble {

class UnigramModel : public Model {
 public:
  // Reads "vocab" (a list of [piece, score], in the order of ids), "unk_id" and "byte_fallback".
  explicit UnigramModel(const ModelFields& fields);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  // A piece that is listed twice has two ids.
  int64_t token_count() const override { return static_cast<int64_t>(scores_.size()); }
  std::unique_ptr<WordEncoder> start() const override;

 private:
  class Encoder;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  std::unique_ptr<const PrefixTrie> trie_;
  std::unique_ptr<WordCache> cache_;
  double unk_score_ = 0;           // of a character that no piece covers
  int32_t unk_id_ = -1;            // -1: such characters are an error
  std::vector<int32_t> byte_ids_;  // the ids of <0x00> to <0xFF>, -1 where absent; empty: not used
};

}  // namespace nibble
