// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/bpe_merge.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <utility>

namespace nibble {
namespace {

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

}  // namespace

void merge_symbols(const MergeTable& merges, std::vector<int32_t>& symbols) {
  if (symbols.size() <= kScanLimit) {
    merge_by_scan(merges, symbols);
  } else {
    merge_by_heap(merges, symbols);
  }
}

}  // namespace nibble
