// SPDX-License-Identifier: Apache-2.0
//
// The tokens beside the model's own: special ones like <s> and <|im_end|>, and words that a user
// added. They are found in the text before the model sees it; tokens that are not `normalized` in
// the raw text, the others in the normalized text. Longest match first, from left to right.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/text/normalizer.h"
#include "nibble/text/pretokenized.h"

namespace nibble {

struct AddedToken {
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space to its left along
  bool rstrip = false;       // and to its right
  bool normalized = true;    // is found in normalized text, in its own normalized form
  bool special = false;      // left out by skip_special_tokens

  bool operator==(const AddedToken&) const = default;
};

// Finds the longest of many texts at a place: a trie.
class TokenTrie {
 public:
  TokenTrie() : nodes_(1) {}

  void add(std::string_view text, int32_t value);  // text not empty; the first value stays
  // The longest text that starts at text[at]: its length, or 0. `value` is that of the text.
  size_t match(std::string_view text, size_t at, int32_t& value) const;
  // The first place from `at` on where a text may start; text.size() when there is none.
  size_t next_start(std::string_view text, size_t at) const;
  bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    std::vector<std::pair<char, int32_t>> children;  // sorted by byte
    int32_t value = -1;
  };
  std::vector<Node> nodes_;
  bool starts_[256] = {};     // whether any text starts with this byte
  std::string shared_start_;  // what all texts start with
};

class AddedTokens {
 public:
  // `id` is the token's place; a token whose content is there already takes the new flags.
  void add(const AddedToken& token, int32_t id);
  // To be called once after the last add; `normalizer` may be null.
  void prepare(const Normalizer* normalizer);

  const AddedToken* find(std::string_view content, int32_t& id) const;  // null when absent
  const AddedToken* find(int32_t id) const;                             // null when absent
  // What decoding sees: the normalized form where the token has one.
  const std::string* decoded_form(int32_t id) const;  // null when absent
  int32_t max_id() const { return max_id_; }          // -1 when there are none
  // Skipped by skip_special_tokens: some special token has `text` as its content.
  bool is_special_text(std::string_view text) const;

  // A part of a text: an added token, or normalized text between such.
  struct Part {
    std::string_view text;  // when it is no token; valid during the visit only
    int32_t token = -1;
    bool at_start = false;  // starts where the original text starts
  };
  // `text` cut at the added tokens, the text between them normalized, from left to right. With
  // `parse_special` false special tokens are plain text. `text` must be valid UTF-8.
  void visit(std::string_view text, const Normalizer* normalizer, bool parse_special,
             const std::function<void(const Part&)>& visitor) const;
  PreTokenized extract(std::string_view text, const Normalizer* normalizer,
                       bool parse_special) const;

 private:
  struct Found {
    size_t begin, end;
    int32_t id;  // -1: text
  };
  void find_in(std::string_view text, const TokenTrie& trie, bool parse_special,
               std::vector<Found>& found) const;

  struct Entry {
    AddedToken token;
    std::string decoded;
  };
  std::unordered_map<int32_t, Entry> by_id_;
  std::unordered_map<std::string, int32_t> by_content_;
  TokenTrie raw_trie_, normalized_trie_;
  int32_t max_id_ = -1;
};

}  // namespace nibble
