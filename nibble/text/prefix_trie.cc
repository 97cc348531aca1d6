// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/prefix_trie.h"

#include <algorithm>

#include "nibble/base/error.h"

namespace nibble {
namespace {

constexpr int32_t kByteCount = 256;

// Places tried for the children of one node before they go behind all others: more would make
// building slow, fewer would leave holes.
constexpr int kMaxTries = 128;

constexpr size_t kMaxBytes = size_t{1} << 29;  // nodes are numbered by 32 bits

}  // namespace

class PrefixTrie::Builder {
 public:
  using Entries = std::vector<std::pair<std::string_view, int32_t>>;

  Builder(const Entries& entries, std::vector<Node>& nodes) : entries_(entries), nodes_(nodes) {}

  // Entries are sorted and distinct.
  void build() {
    grow(kByteCount + 1);
    take(kRoot);
    nodes_[kRoot].parent = kNone;
    std::vector<Range> open = {{kRoot, 0, entries_.size(), 0}};
    std::vector<Range> children;
    while (!open.empty()) {
      Range range = open.back();
      open.pop_back();
      if (range.begin < range.end && entries_[range.begin].first.size() == range.depth) {
        nodes_[static_cast<size_t>(range.node)].value = entries_[range.begin].second;
        ++range.begin;
      }
      split(range, children);
      if (!children.empty()) place(range.node, children);
      open.insert(open.end(), children.begin(), children.end());
    }
    nodes_.resize(static_cast<size_t>(highest_base_) + kByteCount);
    nodes_.shrink_to_fit();
  }

 private:
  // The entries [begin, end) share their first `depth` bytes, which lead to `node`.
  struct Range {
    int32_t node;
    size_t begin, end, depth;
  };

  uint8_t byte_at(size_t entry, size_t depth) const {
    return static_cast<uint8_t>(entries_[entry].first[depth]);
  }

  void split(const Range& range, std::vector<Range>& children) const {
    children.clear();
    for (size_t i = range.begin; i < range.end;) {
      const uint8_t byte = byte_at(i, range.depth);
      const auto end = std::partition_point(
          entries_.begin() + static_cast<std::ptrdiff_t>(i),
          entries_.begin() + static_cast<std::ptrdiff_t>(range.end), [&](const auto& entry) {
            return static_cast<uint8_t>(entry.first[range.depth]) == byte;
          });
      const auto next = static_cast<size_t>(end - entries_.begin());
      children.push_back({byte, i, next, range.depth + 1});
      i = next;
    }
  }

  // Finds room for the children, whose `node` is their byte so far, and names their nodes.
  void place(int32_t parent, std::vector<Range>& children) {
    const int32_t first = children.front().node;
    int32_t base = -1;
    int32_t spot = first_free_;
    for (int tries = 0; spot < size() && tries < kMaxTries; ++tries, spot = next_free(spot)) {
      if (spot <= first) continue;  // bases are above 0
      const int32_t candidate = spot - first;
      reserve(candidate + kByteCount);
      if (fit(candidate, children)) {
        base = candidate;
        break;
      }
    }
    if (base < 0) base = base_at_end(children);
    highest_base_ = std::max(highest_base_, base);
    nodes_[static_cast<size_t>(parent)].base = base;
    for (Range& child : children) {
      child.node += base;
      take(child.node);
      nodes_[static_cast<size_t>(child.node)].parent = parent;
    }
  }

  // The lowest base that puts the last child behind all nodes and the others into room among them.
  int32_t base_at_end(const std::vector<Range>& children) {
    int32_t base = std::max(end_ - children.back().node, 1);
    reserve(end_ + 2 * kByteCount);
    while (!fit(base, children)) ++base;
    return base;
  }

  bool fit(int32_t base, const std::vector<Range>& children) const {
    return std::all_of(children.begin(), children.end(),
                       [&](const Range& child) { return is_free(base + child.node); });
  }

  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  bool is_free(int32_t at) const { return next_[static_cast<size_t>(at)] != 0; }
  int32_t next_free(int32_t at) const { return next_[static_cast<size_t>(at)]; }

  void reserve(int32_t count) {
    if (count > size()) grow(std::max(count, size() + size() / 2));
  }

  // Free places form a list in rising order; next_ is 0 for those taken, previous_ is -1 before
  // the first one.
  void grow(int32_t count) {
    const int32_t old = size();
    nodes_.resize(static_cast<size_t>(count));
    next_.resize(nodes_.size());
    previous_.resize(nodes_.size());
    for (int32_t i = old; i < count; ++i) {
      next_[static_cast<size_t>(i)] = i + 1;
      previous_[static_cast<size_t>(i)] = i == old ? last_free_ : i - 1;
    }
    // The list ended with the old size as its next place, which exists now, so it goes on.
    if (first_free_ >= old) first_free_ = old;
    last_free_ = count - 1;
  }

  void take(int32_t at) {
    const auto i = static_cast<size_t>(at);
    const int32_t previous = previous_[i], next = next_[i];
    if (previous >= 0) {
      next_[static_cast<size_t>(previous)] = next;
    } else {
      first_free_ = next;
    }
    if (next < size()) {
      previous_[static_cast<size_t>(next)] = previous;
    } else {
      last_free_ = previous;
    }
    next_[i] = 0;
    end_ = std::max(end_, at + 1);
  }

  const Entries& entries_;
  std::vector<Node>& nodes_;
  std::vector<int32_t> next_, previous_;
  int32_t first_free_ = 0, last_free_ = -1;
  int32_t highest_base_ = 1;
  int32_t end_ = 0;  // behind the highest node in use
};

PrefixTrie::PrefixTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // Of equal texts keep the last.
  size_t kept = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i + 1 < entries.size() && entries[i + 1].first == entries[i].first) continue;
    entries[kept++] = entries[i];
  }
  entries.resize(kept);
  size_t bytes = 0;
  for (const auto& entry : entries) bytes += entry.first.size();
  if (bytes > kMaxBytes) throw Error("a vocabulary above 512 MiB is not supported");
  Builder(entries, nodes_).build();
}

int32_t PrefixTrie::walk(std::string_view text) const {
  int32_t node = kRoot;
  for (char byte : text) {
    node = step(node, byte);
    if (node == kNone) break;
  }
  return node;
}

}  // namespace nibble
