// SPDX-License-Identifier: Apache-2.0
//
// A trie over bytes as a double array (Aoe 1989): a step is one addition and one comparison. Built
// once, then read only.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {

class PrefixTrie {
 public:
  static constexpr int32_t kRoot = 0;
  static constexpr int32_t kNone = -1;

  // Pairs of a text and its value (not negative), in any order; of equal texts the last one counts.
  // An empty text belongs to the root.
  explicit PrefixTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  // The node behind `node` by `byte`, or kNone.
  int32_t step(int32_t node, char byte) const {
    const int32_t next = nodes_[static_cast<size_t>(node)].base + static_cast<uint8_t>(byte);
    return nodes_[static_cast<size_t>(next)].parent == node ? next : kNone;
  }
  // The node behind all of `text`, or kNone.
  int32_t walk(std::string_view text) const;
  // The value of the text that ends at `node`, or kNone.
  int32_t value(int32_t node) const { return nodes_[static_cast<size_t>(node)].value; }

 private:
  struct Node {
    int32_t base = 0;  // children stand at base + byte
    int32_t parent = kNone;
    int32_t value = kNone;
  };
  class Builder;

  std::vector<Node> nodes_;  // always 256 more than the highest base
};

}  // namespace nibble
