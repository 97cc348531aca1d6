// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/prefix_cache.h"

#include <algorithm>
#include <utility>

namespace nibble {

PrefixCache::PrefixCache(KvCache cache, std::optional<int64_t> max_tokens, int64_t max_kept)
    : cache_(std::move(cache)), max_tokens_(max_tokens), max_kept_(max_kept) {}

bool PrefixCache::has_room(int64_t tokens) const {
  return !max_tokens_ || tokens <= *max_tokens_ - running_tokens();
}

PrefixCache::Opened PrefixCache::open(Context& ctx, std::span<const int32_t> prompt,
                                      int64_t tokens) {
  Opened opened;
  const auto source = longest_prefix(prompt, opened.reused);
  if (opened.reused > 0) {
    Entry& from = source->second;
    from.last_used = ++clock_;  // of those kept it is the last to go
    const bool continues = opened.reused == static_cast<int64_t>(from.ids.size());
    if (!from.running && (continues || !has_room(tokens + from.held()))) {
      opened.sequence = source->first;
      cache_.truncate(opened.sequence, opened.reused);
      from.ids.resize(static_cast<size_t>(opened.reused));
      from.running = true;
      from.tokens = tokens;
      evict_for(0);
      return opened;
    }
  }
  evict_for(tokens);
  Entry entry;
  entry.ids.assign(prompt.begin(), prompt.begin() + opened.reused);
  entry.tokens = tokens;
  opened.sequence =
      opened.reused > 0 ? cache_.fork(ctx, source->first, opened.reused) : cache_.add_sequence();
  entries_.emplace(opened.sequence, std::move(entry));
  return opened;
}

void PrefixCache::record(const TokenBatch& batch) {
  for (const SequenceSlice& slice : batch.slices) {
    const auto begin = batch.ids.begin() + slice.begin;
    std::vector<int32_t>& ids = entries_.at(slice.sequence).ids;
    ids.insert(ids.end(), begin, begin + slice.count);
  }
}

void PrefixCache::clear(int64_t sequence) {
  entries_.at(sequence).ids.clear();
  cache_.truncate(sequence, 0);
}

void PrefixCache::close(int64_t sequence, bool keep) {
  const auto closed = entries_.find(sequence);
  if (!keep || closed->second.ids.empty()) return drop(closed);
  closed->second.running = false;
  closed->second.last_used = ++clock_;
  const auto kept =
      std::ranges::count_if(entries_, [](const auto& entry) { return !entry.second.running; });
  if (kept > max_kept_) drop(least_recently_used());
}

// The sequence that has the most leading tokens in common with the prompt but its last.
PrefixCache::Entries::iterator PrefixCache::longest_prefix(std::span<const int32_t> prompt,
                                                           int64_t& common) {
  common = 0;
  auto longest = entries_.end();
  if (prompt.empty()) return longest;
  const auto wanted = prompt.first(prompt.size() - 1);
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const auto differ = std::ranges::mismatch(wanted, entry->second.ids).in1;
    const int64_t length = differ - wanted.begin();
    if (length <= common) continue;
    common = length;
    longest = entry;
  }
  return longest;
}

int64_t PrefixCache::running_tokens() const {
  int64_t tokens = 0;
  for (const auto& [id, entry] : entries_) {
    if (entry.running) tokens += entry.tokens;
  }
  return tokens;
}

// Drops kept sequences until `tokens` more fit.
void PrefixCache::evict_for(int64_t tokens) {
  if (!max_tokens_) return;
  int64_t held = 0;
  for (const auto& [id, entry] : entries_) held += entry.held();
  while (tokens > *max_tokens_ - held) {
    const auto oldest = least_recently_used();
    if (oldest == entries_.end()) return;
    held -= oldest->second.held();
    drop(oldest);
  }
}

PrefixCache::Entries::iterator PrefixCache::least_recently_used() {
  auto oldest = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->second.running) continue;
    if (oldest == entries_.end() || entry->second.last_used < oldest->second.last_used) {
      oldest = entry;
    }
  }
  return oldest;
}

void PrefixCache::drop(Entries::iterator entry) {
  cache_.drop(entry->first);
  entries_.erase(entry);
}

}  // namespace nibble
