// SPDX-License-Identifier: Apache-2.0
//
// Remembers the ids of words while one text is encoded: most words of a text come again. Bounded in
// size and in search length, so that hostile texts cost no more than a missed cache.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/text/hash_bytes.h"

namespace nibble {

class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 256;  // longer words hardly ever come again

  // The ids of `word` if it is known. Valid until the next insert.
  std::optional<std::span<const int32_t>> find(std::string_view word) const {
    if (slots_.empty()) return std::nullopt;
    const uint64_t hash = hash_bytes(word);
    for (size_t i = 0; i < kMaxProbes; ++i) {
      const Slot& slot = slots_[(hash + i) & (slots_.size() - 1)];
      if (slot.word.data() == nullptr) return std::nullopt;
      if (slot.hash == hash && slot.word == word) {
        return std::span(ids_).subspan(slot.first, slot.count);
      }
    }
    return std::nullopt;
  }

  // Keeps `word` by reference: its text must live as long as the cache.
  void insert(std::string_view word, std::span<const int32_t> ids) {
    if (word.size() > kMaxWordBytes || used_ >= kMaxWords) return;
    if ((used_ + 1) * 2 > slots_.size()) grow();
    place({word, hash_bytes(word), static_cast<uint32_t>(ids_.size()),
           static_cast<uint32_t>(ids.size())});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

 private:
  static constexpr size_t kMaxWords = 1 << 17;  // about 8 MB of table
  static constexpr size_t kMaxProbes = 16;

  struct Slot {
    std::string_view word;  // no data: empty
    uint64_t hash = 0;
    uint32_t first = 0, count = 0;  // in ids_
  };

  // A word that finds no place near its own is forgotten.
  void place(const Slot& slot) {
    for (size_t i = 0; i < kMaxProbes; ++i) {
      Slot& candidate = slots_[(slot.hash + i) & (slots_.size() - 1)];
      if (candidate.word.data() != nullptr) continue;
      candidate = slot;
      ++used_;
      return;
    }
  }

  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.empty() ? 256 : old.size() * 2, Slot{});
    used_ = 0;
    for (const Slot& slot : old) {
      if (slot.word.data() != nullptr) place(slot);
    }
  }

  std::vector<Slot> slots_;  // a power of two
  std::vector<int32_t> ids_;
  size_t used_ = 0;
};

}  // namespace nibble
