// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/vocabulary.h"

#include <bit>

#include "nibble/text/hash_bytes.h"

namespace nibble {

void Vocabulary::reserve(int64_t tokens, int64_t bytes) {
  entries_.reserve(static_cast<size_t>(tokens));
  by_id_.reserve(static_cast<size_t>(tokens));
  bytes_.reserve(static_cast<size_t>(bytes));
  grow_slots(std::bit_ceil(static_cast<size_t>(tokens) * 2 + 16));
}

void Vocabulary::grow_slots(size_t slots) {
  if (slots <= slots_.size()) return;
  slots_.assign(slots, Slot{0, -1});
  const size_t mask = slots - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const uint64_t hash = hash_bytes(text(entries_[i]));
    size_t at = hash & mask;
    while (slots_[at].entry >= 0) at = (at + 1) & mask;
    slots_[at] = {static_cast<uint32_t>(hash >> 32), static_cast<int32_t>(i)};
  }
}

void Vocabulary::add(std::string_view token, int32_t id) {
  if (slots_.size() < (entries_.size() + 1) * 2) {
    grow_slots(std::bit_ceil((entries_.size() + 1) * 4));
  }
  const uint64_t hash = hash_bytes(token);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at].entry >= 0; at = (at + 1) & mask) {
    const auto index = static_cast<size_t>(slots_[at].entry);
    if (slots_[at].tag == tag && text(entries_[index]) == token) break;
  }
  if (slots_[at].entry < 0) {
    slots_[at] = {tag, static_cast<int32_t>(entries_.size())};
    entries_.push_back(
        {static_cast<int64_t>(bytes_.size()), static_cast<int32_t>(token.size()), id});
    bytes_ += token;
  }
  const int32_t index = slots_[at].entry;
  entries_[static_cast<size_t>(index)].id = id;
  if (static_cast<size_t>(id) >= by_id_.size()) by_id_.resize(static_cast<size_t>(id) + 1, -1);
  by_id_[static_cast<size_t>(id)] = index;
}

int32_t Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return -1;
  const uint64_t hash = hash_bytes(token);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].entry >= 0; at = (at + 1) & mask) {
    const Entry& entry = entries_[static_cast<size_t>(slots_[at].entry)];
    if (slots_[at].tag == tag && text(entry) == token) return entry.id;
  }
  return -1;
}

std::optional<std::string_view> Vocabulary::token(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= by_id_.size()) return std::nullopt;
  const int32_t index = by_id_[static_cast<size_t>(id)];
  if (index < 0) return std::nullopt;
  return text(entries_[static_cast<size_t>(index)]);
}

}  // namespace nibble
