// SPDX-License-Identifier: Apache-2.0
//
// Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909): a word starts as its characters, and
// the neighbours whose merge is earliest in the list join, leftmost first, until none can. Ids
// equal those of the Hugging Face tokenizers library. Dropout is refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/merge_table.h"
#include "nibble/text/model.h"
#include "nibble/text/word_cache.h"

namespace nibble {

struct BpeOptions {
  std::string unk_token;                  // "" for none: unknown characters vanish
  std::string continuing_subword_prefix;  // before every character of a word but the first
  std::string end_of_word_suffix;         // behind the last character of a word
  bool fuse_unk = false;                  // neighbouring unknown characters become one unk_token
  bool byte_fallback = false;  // unknown characters become tokens like <0xE2> where there are such
  bool ignore_merges = false;  // a word that is a token becomes that token at once
};

class BpeModel : public Model {
 public:
  // Throws Error naming `source` when unk_token is not in the vocabulary.
  BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options, const std::string& source);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<WordEncoder> start() const override;
  bool spell_bytes() override;

  const BpeOptions& options() const { return options_; }

 private:
  class Encoder;

  void split_characters(std::string_view word, std::vector<int32_t>& symbols) const;
  int32_t find_symbol(std::string_view symbol) const;
  bool append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const;
  bool has_words_by_mark() const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  int32_t unk_id_ = -1;
  std::vector<int32_t> byte_ids_;       // the ids of <0x00> to <0xFF>, -1 where absent
  std::vector<int32_t> character_ids_;  // the ids of the code points below kDirect, -1 for none
  // After spell_bytes(): the ids of the characters that stand for the bytes, within a word and at
  // its end, where the suffix comes behind them.
  std::vector<int32_t> spelled_ids_, last_spelled_ids_;
  std::string_view mark_;  // where words may be cut; "" for nowhere
  std::unique_ptr<WordCache> cache_;
};

}  // namespace nibble
