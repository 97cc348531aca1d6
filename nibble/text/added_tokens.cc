// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "nibble/base/utf8.h"
#include "nibble/text/reference_unicode.h"

namespace nibble {
namespace {

char32_t last_code_point(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return next_code_point(text, at);
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_v16(last_code_point(text));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word_v16(next_code_point(text, at));
}

// Where the white space at the end of `text` starts.
size_t trailing_space_start(std::string_view text) {
  while (!text.empty()) {
    const char32_t c = last_code_point(text);
    if (!is_whitespace(c)) break;
    std::string encoded;
    append_utf8(encoded, c);
    text.remove_suffix(encoded.size());
  }
  return text.size();
}

size_t leading_space_end(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size() && is_whitespace(next_code_point(text, at));) end = at;
  return end;
}

auto child_of(auto& children, char byte) {
  return std::lower_bound(children.begin(), children.end(), byte,
                          [](const auto& child, char wanted) { return child.first < wanted; });
}

}  // namespace

void TokenTrie::add(std::string_view text, int32_t value) {
  if (empty()) {
    shared_start_ = text;
  } else {
    const auto [end, other] = std::ranges::mismatch(shared_start_, text);
    shared_start_.erase(end, shared_start_.end());
  }
  starts_[static_cast<unsigned char>(text[0])] = true;
  size_t node = 0;
  for (char byte : text) {
    auto child = child_of(nodes_[node].children, byte);
    if (child != nodes_[node].children.end() && child->first == byte) {
      node = static_cast<size_t>(child->second);
      continue;
    }
    const auto fresh = static_cast<int32_t>(nodes_.size());
    nodes_[node].children.insert(child, {byte, fresh});
    nodes_.emplace_back();
    node = static_cast<size_t>(fresh);
  }
  if (nodes_[node].value < 0) nodes_[node].value = value;
}

size_t TokenTrie::match(std::string_view text, size_t at, int32_t& value) const {
  if (!starts_[static_cast<unsigned char>(text[at])]) return 0;
  size_t node = 0, longest = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto& children = nodes_[node].children;
    const auto child = child_of(children, text[i]);
    if (child == children.end() || child->first != text[i]) break;
    node = static_cast<size_t>(child->second);
    if (nodes_[node].value >= 0) {
      value = nodes_[node].value;
      longest = i + 1 - at;
    }
  }
  return longest;
}

size_t TokenTrie::next_start(std::string_view text, size_t at) const {
  if (shared_start_.empty()) {
    while (at < text.size() && !starts_[static_cast<unsigned char>(text[at])]) ++at;
    return at;
  }
  // The last byte that all share is mostly the rarest one: "|" of "<|", "<" behind a space mark.
  const size_t behind = shared_start_.size() - 1;
  for (at += behind; at < text.size(); ++at) {
    at = text.find(shared_start_.back(), at);
    if (at == std::string_view::npos) break;
    if (text.substr(at - behind, behind) == std::string_view(shared_start_).substr(0, behind)) {
      return at - behind;
    }
  }
  return text.size();
}

void AddedTokens::add(const AddedToken& token, int32_t id) {
  by_content_[token.content] = id;
  by_id_[id] = {token, token.content};
  max_id_ = std::max(max_id_, id);
}

void AddedTokens::prepare(const Normalizer* normalizer) {
  raw_trie_ = normalized_trie_ = TokenTrie();
  std::vector<int32_t> ids;
  for (const auto& [id, entry] : by_id_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());  // of two tokens with one form the lower id wins
  for (int32_t id : ids) {
    Entry& entry = by_id_.at(id);
    entry.decoded = entry.token.content;
    if (entry.token.normalized && normalizer != nullptr) normalizer->normalize(entry.decoded);
    TokenTrie& trie = entry.token.normalized ? normalized_trie_ : raw_trie_;
    if (!entry.decoded.empty()) trie.add(entry.decoded, id);
  }
}

const AddedToken* AddedTokens::find(std::string_view content, int32_t& id) const {
  const auto found = by_content_.find(std::string(content));
  if (found == by_content_.end()) return nullptr;
  id = found->second;
  return find(id);
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second.token;
}

const std::string* AddedTokens::decoded_form(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second.decoded;
}

bool AddedTokens::is_special_text(std::string_view text) const {
  int32_t id = -1;
  const AddedToken* token = find(text, id);
  return token != nullptr && token->special;
}

void AddedTokens::find_in(std::string_view text, const TokenTrie& trie, bool parse_special,
                          std::vector<Found>& found) const {
  size_t done = 0;
  for (size_t at = 0; !trie.empty() && (at = trie.next_start(text, at)) < text.size();) {
    int32_t id = -1;
    const size_t length = trie.match(text, at, id);
    if (length == 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    at = end;  // a match that is turned down below still hides what it overlaps
    const AddedToken& token = by_id_.at(id).token;
    if (token.special && !parse_special) continue;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) begin = std::max(trailing_space_start(text.substr(0, begin)), done);
    if (token.rstrip) end += leading_space_end(text.substr(end));
    if (token.lstrip && begin >= end) continue;  // all of it went to the token before
    if (done < begin) found.push_back({done, begin, -1});
    found.push_back({begin, end, id});
    done = end;
  }
  if (done < text.size()) found.push_back({done, text.size(), -1});
}

void AddedTokens::visit(std::string_view text, const Normalizer* normalizer, bool parse_special,
                        const std::function<void(const Part&)>& visitor) const {
  std::vector<Found> raw, inner;
  find_in(text, raw_trie_, parse_special, raw);
  std::string normalized;
  for (const Found& outer : raw) {
    if (outer.id >= 0) {
      visitor({.text = {}, .token = outer.id});
      continue;
    }
    std::string_view between = text.substr(outer.begin, outer.end - outer.begin);
    bool start_removed = false;
    if (normalizer != nullptr) {
      normalized = between;
      start_removed = normalizer->normalize(normalized);
      between = normalized;
    }
    inner.clear();
    find_in(between, normalized_trie_, parse_special, inner);
    for (const Found& found : inner) {
      if (found.id >= 0) {
        visitor({.text = {}, .token = found.id});
      } else {
        visitor({.text = between.substr(found.begin, found.end - found.begin),
                 .at_start = !start_removed && outer.begin == 0 && found.begin == 0});
      }
    }
  }
}

PreTokenized AddedTokens::extract(std::string_view text, const Normalizer* normalizer,
                                  bool parse_special) const {
  PreTokenized out;
  visit(text, normalizer, parse_special, [&](const Part& part) {
    const auto begin = static_cast<int64_t>(out.text.size());
    out.text += part.text;
    out.pieces.push_back({.begin = part.token < 0 ? begin : 0,
                          .end = part.token < 0 ? static_cast<int64_t>(out.text.size()) : 0,
                          .token = part.token,
                          .at_start = part.at_start});
  });
  return out;
}

}  // namespace nibble
