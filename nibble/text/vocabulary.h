// SPDX-License-Identifier: Apache-2.0
//
// The tokens of a model and their ids, both ways. Ids need not be dense. All texts lie in one
// buffer, so that a vocabulary of 150,000 tokens is built in a few milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

// Finding the merges that a list of scored pieces stands for tries all cuts of each, at the square
// of its length; real pieces have at most 48 bytes.
inline constexpr size_t kMaxPieceBytes = 1024;

// An id above this is a broken file, not a vocabulary: tables are indexed by id. The largest
// vocabularies known have some 300,000 tokens.
inline constexpr int32_t kMaxTokenId = (1 << 24) - 1;

class Vocabulary {
 public:
  // Makes room for `tokens` tokens with `bytes` bytes of text.
  void reserve(int64_t tokens, int64_t bytes);

  // `id` must be in [0, kMaxTokenId] (checked by callers, who know the file). A token that is
  // there already gets the new id.
  void add(std::string_view token, int32_t id);

  int32_t find(std::string_view token) const;               // -1 when absent
  std::optional<std::string_view> token(int32_t id) const;  // of the last token with this id
  // Calls visit(text, id) for every distinct text, in the order in which they came.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Entry& entry : entries_) visit(text(entry), entry.id);
  }
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }    // distinct texts
  int64_t id_limit() const { return static_cast<int64_t>(by_id_.size()); }  // highest id + 1

 private:
  struct Entry {
    int64_t offset;
    int32_t length;
    int32_t id;
  };
  std::string_view text(const Entry& entry) const {
    return std::string_view(bytes_).substr(static_cast<size_t>(entry.offset),
                                           static_cast<size_t>(entry.length));
  }
  void grow_slots(size_t slots);

  std::string bytes_;
  std::vector<Entry> entries_;
  std::vector<int32_t> by_id_;  // index into entries_, or -1
  struct Slot {
    uint32_t tag;   // upper half of the hash: spares most comparisons
    int32_t entry;  // index into entries_, or -1
  };
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
};

}  // namespace nibble
