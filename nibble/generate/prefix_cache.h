// SPDX-License-Identifier: Apache-2.0
//
// A KvCache that knows which tokens its sequences hold, so that a prompt that begins like one of
// them need not compute the common part again. Sequences that ended are kept for that, a bounded
// number of them: the least recently used goes first, and any goes when a running sequence needs
// its room. A running sequence has room for all that it may grow to from the start, so it never has
// to wait for another or to give way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "nibble/nn/kv_cache.h"

namespace nibble {

class PrefixCache {
 public:
  // Running and kept sequences together stay within `max_tokens` (absent: no limit). Memory may be
  // twice that: a sequence's grows by doubling.
  PrefixCache(KvCache cache, std::optional<int64_t> max_tokens, int64_t max_kept);

  // Whether a sequence that may grow to `tokens` can be opened. Kept ones do not stand in its way.
  bool has_room(int64_t tokens) const;

  struct Opened {
    int64_t sequence = 0;  // its id in kv()
    int64_t reused = 0;    // leading tokens of the prompt that it holds already
  };
  // A sequence that may grow to `tokens`, for which there must be room. Takes over a kept sequence
  // where the prompt continues it, else copies the longest common beginning of any. The last token
  // of the prompt is never reused: its logits are wanted.
  Opened open(Context& ctx, std::span<const int32_t> prompt, int64_t tokens);

  void record(const TokenBatch& batch);  // which a forward pass has appended
  void clear(int64_t sequence);          // back to no tokens; it goes on
  void close(int64_t sequence, bool keep);

  KvCache& kv() { return cache_; }

 private:
  struct Entry {
    std::vector<int32_t> ids;  // as long as the cache's sequence
    bool running = true;
    int64_t tokens = 0;  // that a running one may grow to
    int64_t last_used = 0;
    int64_t held() const { return running ? tokens : static_cast<int64_t>(ids.size()); }
  };
  using Entries = std::map<int64_t, Entry>;  // by id in the cache

  Entries::iterator longest_prefix(std::span<const int32_t> prompt, int64_t& common);
  int64_t running_tokens() const;
  void evict_for(int64_t tokens);
  Entries::iterator least_recently_used();  // of those kept; end(): none
  void drop(Entries::iterator entry);

  KvCache cache_;
  std::optional<int64_t> max_tokens_;
  int64_t max_kept_, clock_ = 0;
  Entries entries_;
};

}  // namespace nibble
