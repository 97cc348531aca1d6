// SPDX-License-Identifier: Apache-2.0
//
// The merges of a BPE model: which two neighbouring tokens become which one, and how early. A hash
// table from the pair to its rank.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "nibble/text/hash_bytes.h"

namespace nibble {

class MergeTable {
 public:
  static constexpr int32_t kNone = INT32_MAX;  // the rank of a pair that does not merge

  explicit MergeTable(int64_t merges) : slots_(std::bit_ceil(static_cast<size_t>(merges) * 2 + 2)) {
    merged_.reserve(static_cast<size_t>(merges));
  }

  // Ranks count upwards from 0 in the order of the calls; at most as many as the constructor was
  // told. A pair that is there already gets the later rank, as in the reference.
  void add(int32_t left, int32_t right, int32_t merged) {
    Slot& slot = slots_[locate(left, right)];
    slot = {key(left, right), static_cast<int32_t>(merged_.size())};
    merged_.push_back(merged);
  }

  int32_t rank(int32_t left, int32_t right) const { return slots_[locate(left, right)].rank; }
  int32_t merged(int32_t rank) const { return merged_[static_cast<size_t>(rank)]; }

 private:
  struct Slot {
    uint64_t key = UINT64_MAX;  // no pair: ids are below 2^31
    int32_t rank = kNone;
  };

  static uint64_t key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) |
           static_cast<uint32_t>(right);
  }

  // The slot of the pair, or the empty slot where it would go.
  size_t locate(int32_t left, int32_t right) const {
    const uint64_t wanted = key(left, right);
    const size_t mask = slots_.size() - 1;
    size_t at = mix_bits(wanted, 0) & mask;
    while (slots_[at].key != wanted && slots_[at].key != UINT64_MAX) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;      // open addressing, at most half full
  std::vector<int32_t> merged_;  // by rank
};

}  // namespace nibble
