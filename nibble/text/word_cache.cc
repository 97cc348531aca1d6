// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/word_cache.h"

#include <algorithm>
#include <new>

namespace nibble {
namespace {

// Powers of two. The most take 4 MB of short entries and 2 MB of long ones.
constexpr int64_t kFewestWords = 1 << 8, kMostWords = 1 << 17;

}  // namespace

template <class Entry>
WordCache::Table<Entry> WordCache::allocate(size_t entries) {
  // calloc, because it gets large blocks as zero pages that cost nothing until they are used.
  auto* memory = static_cast<Entry*>(std::calloc(entries, sizeof(Entry)));
  if (memory == nullptr) throw std::bad_alloc();
  return Table<Entry>(memory);
}

WordCache::WordCache(int64_t tokens)
    : short_places_(
          std::bit_ceil(static_cast<size_t>(std::clamp(tokens, kFewestWords, kMostWords)) / kWays)),
      long_places_(short_places_ / 8),
      short_(allocate<Short>(short_places_ * kWays)),
      long_(allocate<Long>(long_places_ * kWays)) {}

// Takes the first free entry of a place. One that another thread is just writing is passed over: at
// worst a word stands there twice, with the same ids.
template <class Entry, class Fill>
void WordCache::write(Entry* entries, std::span<const int32_t> ids, Fill&& fill) {
  for (size_t way = 0; way < kWays; ++way) {
    Entry& entry = entries[way];
    const std::atomic_ref state(entry.state);
    uint32_t expected = kEmpty;
    if (!state.compare_exchange_strong(expected, kBusy, std::memory_order_relaxed)) continue;
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
    fill(entry);
    state.store(kReady + static_cast<uint32_t>(ids.size()), std::memory_order_release);
    return;
  }
}

void WordCache::insert(const Key& key, size_t place, std::span<const int32_t> ids) {
  write(&short_[place * kWays], ids, [&](Short& entry) { entry.key = key; });
}

size_t WordCache::long_place(std::string_view word) const {
  return hash_bytes(word) & (long_places_ - 1);
}

std::optional<std::span<const int32_t>> WordCache::find(std::string_view word) const {
  if (word.size() > kMaxLongBytes) return std::nullopt;
  Long* entries = &long_[long_place(word) * kWays];
  for (size_t way = 0; way < kWays; ++way) {
    Long& entry = entries[way];
    const uint32_t state = std::atomic_ref(entry.state).load(std::memory_order_acquire);
    if (state < kReady) return std::nullopt;
    if (std::string_view(entry.text.data(), entry.bytes) == word) {
      return std::span(entry.ids).first(state - kReady);
    }
  }
  return std::nullopt;
}

void WordCache::insert(std::string_view word, std::span<const int32_t> ids) {
  if (word.size() > kMaxLongBytes || ids.size() > kMaxLongIds) return;
  write(&long_[long_place(word) * kWays], ids, [&](Long& entry) {
    entry.bytes = static_cast<uint32_t>(word.size());
    std::copy(word.begin(), word.end(), entry.text.begin());
  });
}

}  // namespace nibble
