// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/bpe_merge.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/caching_encoder.h"

namespace nibble {
namespace {

// Code points with a direct table of ids: the byte alphabet and the European scripts.
constexpr char32_t kDirect = 0x600;

// SentencePiece's mark of a space, U+2581.
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

}  // namespace

BpeModel::BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options,
                   const std::string& source)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      options_(std::move(options)),
      character_ids_(kDirect) {
  if (!options_.unk_token.empty()) {
    unk_id_ = vocabulary_.find(options_.unk_token);
    if (unk_id_ < 0) {
      throw Error("the BPE model's unk_token is not in its vocabulary")
          .file(source)
          .got(options_.unk_token);
    }
  }
  if (options_.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_ids_.push_back(vocabulary_.find(fmt::format("<0x{:02X}>", byte)));
    }
  }
  for (char32_t c = 0; c < kDirect; ++c) {
    std::string character;
    append_utf8(character, c);
    character_ids_[c] = vocabulary_.find(character);
  }
  if (has_words_by_mark()) mark_ = kSpaceMark;
  cache_ = std::make_unique<WordCache>(vocabulary_.size());
}

class BpeModel::Encoder : public CachingEncoder {
 public:
  explicit Encoder(const BpeModel& model)
      : CachingEncoder(*model.cache_, model.mark_), model_(model) {}

 private:
  // `word` is valid UTF-8, or any bytes after spell_bytes().
  void encode_new(std::string_view word, std::vector<int32_t>& ids) override {
    const bool spelled = !model_.spelled_ids_.empty();
    if (model_.options_.ignore_merges) {
      std::string spelling;
      if (spelled) append_byte_level(spelling, word);
      if (const int32_t id = model_.vocabulary_.find(spelled ? spelling : word); id >= 0) {
        ids.push_back(id);
        return;
      }
    }
    if (word.size() >= UINT32_MAX) throw Error("a word above 4 GiB cannot be encoded");
    symbols_.clear();
    if (spelled) {
      for (char c : word) symbols_.push_back(model_.spelled_ids_[static_cast<uint8_t>(c)]);
      symbols_.back() = model_.last_spelled_ids_[static_cast<uint8_t>(word.back())];
    } else {
      model_.split_characters(word, symbols_);
    }
    merge_symbols(model_.merges_, symbols_);
    ids.insert(ids.end(), symbols_.begin(), symbols_.end());
  }

  const BpeModel& model_;
  std::vector<int32_t> symbols_;  // scratch
};

std::unique_ptr<WordEncoder> BpeModel::start() const { return std::make_unique<Encoder>(*this); }

// SentencePiece's models see a whole text as one word. Where no token goes on across the start of a
// space mark, no merge does either, and what lies before and behind it can be encoded apart.
bool BpeModel::has_words_by_mark() const {
  if (options_.ignore_merges || !options_.continuing_subword_prefix.empty() ||
      !options_.end_of_word_suffix.empty() || vocabulary_.find(kSpaceMark) < 0) {
    return false;
  }
  int64_t tokens = 0;
  for (int64_t id = 0; id < vocabulary_.id_limit(); ++id) {
    const auto token = vocabulary_.token(static_cast<int32_t>(id));
    if (!token.has_value()) continue;
    ++tokens;
    for (size_t at = token->find(kSpaceMark); at != std::string_view::npos;
         at = token->find(kSpaceMark, at + kSpaceMark.size())) {
      if (at > 0 && !token->substr(0, at).ends_with(kSpaceMark)) return false;
    }
  }
  return tokens == vocabulary_.size();  // two texts of one id would hide one of them from here
}

bool BpeModel::spell_bytes() {
  if (!options_.continuing_subword_prefix.empty()) return false;
  std::vector<int32_t> within(256), last(256);
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, byte_to_char(static_cast<uint8_t>(byte)));
    within[byte] = vocabulary_.find(character);
    last[byte] = vocabulary_.find(character + options_.end_of_word_suffix);
    if (within[byte] < 0 || last[byte] < 0) return false;
  }
  spelled_ids_ = std::move(within);
  last_spelled_ids_ = std::move(last);
  mark_ = {};  // it would be a text of three characters now
  return true;
}

int32_t BpeModel::find_symbol(std::string_view symbol) const {
  if (utf8_length(symbol[0]) == symbol.size() && symbol.size() <= 2) {
    size_t at = 0;
    const char32_t c = next_code_point(symbol, at);
    if (c < kDirect) return character_ids_[c];
  }
  return vocabulary_.find(symbol);
}

// All bytes of the symbol as tokens, or none of them.
bool BpeModel::append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)]; };
  if (!options_.byte_fallback ||
      std::any_of(symbol.begin(), symbol.end(), [&](char c) { return id_of(c) < 0; })) {
    return false;
  }
  for (char c : symbol) symbols.push_back(id_of(c));
  return true;
}

void BpeModel::split_characters(std::string_view word, std::vector<int32_t>& symbols) const {
  const std::string& prefix = options_.continuing_subword_prefix;
  const std::string& suffix = options_.end_of_word_suffix;
  std::string decorated;
  // An unknown character waits for the next known one. Bytes written in between therefore come
  // first: odd, but what the reference does.
  bool unk_waits = false;
  for (size_t at = 0; at < word.size();) {
    const bool first = at == 0;
    std::string_view symbol = word.substr(at, utf8_length(word[at]));
    at += symbol.size();
    const bool last = at == word.size();
    if ((!first && !prefix.empty()) || (last && !suffix.empty())) {
      decorated.assign(first ? "" : prefix);
      decorated += symbol;
      if (last) decorated += suffix;
      symbol = decorated;
    }
    const int32_t id = find_symbol(symbol);
    if (id >= 0) {
      if (unk_waits) symbols.push_back(unk_id_);
      unk_waits = false;
      symbols.push_back(id);
      continue;
    }
    if (append_bytes(symbol, symbols) || unk_id_ < 0) continue;
    if (unk_waits && !options_.fuse_unk) symbols.push_back(unk_id_);
    unk_waits = true;
  }
  if (unk_waits) symbols.push_back(unk_id_);
}

}  // namespace nibble
