// SPDX-License-Identifier: Apache-2.0
//
// Remembers the ids of words that were encoded before: most words of a text come again. One cache
// serves all threads without locks: an entry is written once, then published, and never changes or
// leaves. So the memory is bounded, and what is found is always what encoding gives. Hostile texts
// can fill it with words of no use; encoding is then as fast as without a cache.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace nibble {

class WordCache {
 public:
  // Short words are what ordinary text is made of; they are looked up by two machine words.
  static constexpr size_t kMaxShortBytes = 15;

  // A short word with its length, so that equal keys mean equal words.
  struct Key {
    uint64_t low, high;
    bool operator==(const Key&) const = default;
  };

  // For a model of so many tokens: room for about as many words, within limits. The memory is
  // touched only as it fills.
  explicit WordCache(int64_t tokens);

  // `bytes` of `text` from `at` on, at most kMaxShortBytes. Text behind the word may be read.
  static Key key(std::string_view text, size_t at, size_t bytes);

  // The place of a short word, for prefetch() and find().
  size_t place(const Key& key) const;
  void prefetch(size_t place) const { __builtin_prefetch(&short_[place * kWays]); }

  // The ids of a word if it is known. At least kShortIds numbers may be read from `ids.data()`
  // when the word is a short one.
  static constexpr size_t kShortIds = 3;
  std::optional<std::span<const int32_t>> find(const Key& key, size_t place) const;
  // Keeps a word, if there is room near its place; at most kShortIds.
  void insert(const Key& key, size_t place, std::span<const int32_t> ids);

  // The same for other words: long ones, and those with more ids.
  std::optional<std::span<const int32_t>> find(std::string_view word) const;
  void insert(std::string_view word, std::span<const int32_t> ids);

 private:
  static constexpr size_t kWays = 4;  // the entries of one place
  static constexpr size_t kMaxLongBytes = 64, kMaxLongIds = 14;
  static constexpr uint32_t kEmpty = 0, kBusy = 1, kReady = 2;  // kReady + the number of ids

  // Both are plain zero bytes at first; `state` is read and written as an atomic only.
  struct Short {
    uint32_t state;
    std::array<int32_t, kShortIds> ids;
    Key key;
  };
  struct Long {
    uint32_t state;
    uint32_t bytes;
    std::array<int32_t, kMaxLongIds> ids;
    std::array<char, kMaxLongBytes> text;
  };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  template <class Entry>
  using Table = std::unique_ptr<Entry[], Free>;

  template <class Entry>
  static Table<Entry> allocate(size_t entries);
  template <class Entry, class Fill>
  static void write(Entry* entries, std::span<const int32_t> ids, Fill&& fill);
  size_t long_place(std::string_view word) const;

  size_t short_places_, long_places_;  // powers of two
  Table<Short> short_;
  Table<Long> long_;
};

}  // namespace nibble

#include "nibble/text/word_cache_inl.h"
