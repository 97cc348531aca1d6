// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/word_cache.h"

namespace nibble {
namespace {

// Code points with a direct table of ids: the byte alphabet and the European scripts.
constexpr char32_t kDirect = 0x600;

// Words up to this long are merged by scanning; beyond it a heap is faster.
constexpr size_t kScanLimit = 48;

// Merges in place by looking for the lowest rank again and again: no allocation, and quick for the
// dozen symbols that an ordinary word has.
void merge_by_scan(const MergeTable& merges, std::vector<int32_t>& symbols) {
  std::array<int32_t, kScanLimit> ranks;  // ranks[i] is that of symbols i and i + 1
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = merges.rank(symbols[i], symbols[i + 1]);
  while (count > 1) {
    const auto* lowest = std::min_element(ranks.begin(), ranks.begin() + (count - 1));
    if (*lowest == MergeTable::kNone) break;
    const auto at = static_cast<size_t>(lowest - ranks.begin());
    symbols[at] = merges.merged(*lowest);
    --count;
    std::move(symbols.begin() + at + 2, symbols.begin() + count + 1, symbols.begin() + at + 1);
    std::move(ranks.begin() + at + 1, ranks.begin() + count, ranks.begin() + at);
    if (at > 0) ranks[at - 1] = merges.rank(symbols[at - 1], symbols[at]);
    if (at + 1 < count) ranks[at] = merges.rank(symbols[at], symbols[at + 1]);
  }
  symbols.resize(count);
}

// The same result for a word of any length in O(n log n): a heap of candidate merges over a linked
// list of symbols. Candidates whose symbols have changed since are recognized and dropped.
void merge_by_heap(const MergeTable& merges, std::vector<int32_t>& symbols) {
  constexpr uint32_t kEnd = UINT32_MAX;
  const auto count = static_cast<uint32_t>(symbols.size());
  struct Link {
    uint32_t previous, next;
  };
  std::vector<Link> links(count);
  std::vector<bool> removed(count, false);
  // Rank above, position below: the smallest is the earliest merge, leftmost first.
  std::vector<uint64_t> candidates;
  const auto candidate = [&](uint32_t at, uint32_t right) -> uint64_t {
    const int32_t rank = merges.rank(symbols[at], symbols[right]);
    if (rank == MergeTable::kNone) return UINT64_MAX;
    return (static_cast<uint64_t>(static_cast<uint32_t>(rank)) << 32) | at;
  };
  for (uint32_t i = 0; i < count; ++i) {
    links[i] = {i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1};
    if (i + 1 == count) break;
    if (const uint64_t one = candidate(i, i + 1); one != UINT64_MAX) candidates.push_back(one);
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap(std::greater<>(),
                                                                            std::move(candidates));
  while (!heap.empty()) {
    const uint64_t top = heap.top();
    heap.pop();
    const auto at = static_cast<uint32_t>(top);
    const uint32_t right = links[at].next;
    if (removed[at] || right == kEnd || candidate(at, right) != top) continue;
    symbols[at] = merges.merged(static_cast<int32_t>(top >> 32));
    removed[right] = true;
    links[at].next = links[right].next;
    if (links[at].next != kEnd) links[links[at].next].previous = at;
    if (links[at].previous != kEnd) {
      const uint64_t one = candidate(links[at].previous, at);
      if (one != UINT64_MAX) heap.push(one);
    }
    if (links[at].next != kEnd) {
      const uint64_t one = candidate(at, links[at].next);
      if (one != UINT64_MAX) heap.push(one);
    }
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!removed[i]) symbols[kept++] = symbols[i];
  }
  symbols.resize(kept);
}

class CachingEncoder : public WordEncoder {
 public:
  explicit CachingEncoder(const BpeModel& model) : model_(model) {}

  void encode(std::string_view word, std::vector<int32_t>& ids) override {
    if (const auto known = cache_.find(word)) {
      ids.insert(ids.end(), known->begin(), known->end());
      return;
    }
    const size_t before = ids.size();
    model_.encode_word(word, ids);
    cache_.insert(word, std::span<const int32_t>(ids).subspan(before));
  }

 private:
  const BpeModel& model_;
  WordCache cache_;
};

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
}

std::unique_ptr<WordEncoder> BpeModel::start() const {
  return std::make_unique<CachingEncoder>(*this);
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

void BpeModel::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  if (options_.ignore_merges) {
    if (const int32_t id = vocabulary_.find(word); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  if (word.size() >= UINT32_MAX) throw Error("a word above 4 GiB cannot be encoded");
  std::vector<int32_t> symbols;
  symbols.reserve(word.size());
  split_characters(word, symbols);
  if (symbols.size() <= kScanLimit) {
    merge_by_scan(merges_, symbols);
  } else {
    merge_by_heap(merges_, symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

}  // namespace nibble
