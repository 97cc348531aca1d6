// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/wordpiece.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "nibble/text/caching_encoder.h"

namespace nibble {
namespace {

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

}  // namespace

WordPieceModel::WordPieceModel(const ModelFields& fields)
    : vocabulary_(fields.vocabulary()), unk_token_(fields.required_text("unk_token")) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  entries.reserve(static_cast<size_t>(vocabulary_.size()));
  vocabulary_.for_each(
      [&](std::string_view token, int32_t id) { entries.emplace_back(token, id); });
  trie_ = std::make_unique<const PrefixTrie>(std::move(entries));
  inside_ = trie_->walk(fields.required_text("continuing_subword_prefix"));
  unk_id_ = vocabulary_.find(unk_token_);
  const auto limit = fields.count("max_input_chars_per_word");
  if (!limit.has_value()) throw fields.error("lacks its \"max_input_chars_per_word\"");
  max_characters_ = *limit;
  cache_ = std::make_unique<WordCache>(vocabulary_.size());
}

class WordPieceModel::Encoder : public CachingEncoder {
 public:
  explicit Encoder(const WordPieceModel& model) : CachingEncoder(*model.cache_), model_(model) {}

 private:
  void encode_new(std::string_view word, std::vector<int32_t>& ids) override {
    const size_t before = ids.size();
    if (count_characters(word) > model_.max_characters_ || !append_pieces(word, ids)) {
      if (model_.unk_id_ < 0) {
        throw Error("the WordPiece model meets an unknown word and lacks its unk_token")
            .expected(model_.unk_token_)
            .got(std::string(word));
      }
      ids.resize(before);
      ids.push_back(model_.unk_id_);
    }
  }

  bool append_pieces(std::string_view word, std::vector<int32_t>& ids) const {
    const PrefixTrie& trie = *model_.trie_;
    for (size_t begin = 0; begin < word.size();) {
      int32_t node = begin == 0 ? PrefixTrie::kRoot : model_.inside_;
      int32_t id = -1;
      size_t longest = begin;
      for (size_t end = begin; node != PrefixTrie::kNone && end < word.size();) {
        node = trie.step(node, word[end++]);
        if (node == PrefixTrie::kNone || trie.value(node) == PrefixTrie::kNone) continue;
        id = trie.value(node);
        longest = end;
      }
      if (id < 0) return false;
      ids.push_back(id);
      begin = longest;
    }
    return true;
  }

  const WordPieceModel& model_;
};

std::unique_ptr<WordEncoder> WordPieceModel::start() const {
  return std::make_unique<Encoder>(*this);
}

}  // namespace nibble
