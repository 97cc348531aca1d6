// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Grows by doubling from here: a short chat reallocates a few times, a long one rarely.
constexpr int64_t kFirstCapacity = 64;
constexpr int64_t kMaxLength = std::numeric_limits<int32_t>::max();  // positions are int32

void check_length(const char* what_failed, int64_t length, int64_t longest) {
  if (length < 0 || length > longest) {
    throw Error(what_failed).expected(fmt::format("0 to {}", longest)).got(std::to_string(length));
  }
}

void check_batch(const TokenBatch& batch) {
  int64_t end = 0;
  std::set<int64_t> seen;
  for (const SequenceSlice& slice : batch.slices) {
    if (slice.begin != end || slice.count < 1 || slice.count > batch.tokens() - end) {
      throw Error("the slices of a batch do not follow each other")
          .expected(fmt::format("a slice from row {} within {} tokens", end, batch.tokens()))
          .got(fmt::format("begin {}, count {}", slice.begin, slice.count));
    }
    if (!seen.insert(slice.sequence).second) {
      throw Error("a sequence comes twice in a batch").got(std::to_string(slice.sequence));
    }
    end += slice.count;
  }
  if (end != batch.tokens()) {
    throw Error("the slices of a batch do not cover its tokens")
        .expected(std::to_string(batch.tokens()))
        .got(std::to_string(end));
  }
}

}  // namespace

void TokenBatch::add(int64_t sequence, const std::vector<int32_t>& tokens) {
  slices.push_back({sequence, this->tokens(), static_cast<int64_t>(tokens.size())});
  ids.insert(ids.end(), tokens.begin(), tokens.end());
}

KvCache::KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, DType dtype)
    : layers_(layers), kv_heads_(kv_heads), head_dim_(head_dim), dtype_(dtype) {
  if (!is_cache_dtype(dtype)) {
    throw Error("a KV cache has no such dtype")
        .expected("float32, float16 or int8")
        .got(std::string(torch_name(dtype)));
  }
}

int64_t KvCache::add_sequence() {
  sequences_[next_id_];
  return next_id_++;
}

int64_t KvCache::fork(Context& ctx, int64_t sequence, int64_t length) {
  const Sequence& from = at(sequence);
  check_length("cannot fork a sequence at this length", length, from.length);
  Sequence copy;
  if (length > 0) {
    copy.length = length;
    copy.capacity = std::max(length, kFirstCapacity);
    copy.keys = copies(ctx, from.keys, length, copy.capacity);
    copy.values = copies(ctx, from.values, length, copy.capacity);
  }
  sequences_[next_id_] = std::move(copy);
  return next_id_++;
}

void KvCache::drop(int64_t sequence) {
  at(sequence);
  sequences_.erase(sequence);
}

void KvCache::truncate(int64_t sequence, int64_t length) {
  Sequence& cut = at(sequence);
  check_length("cannot cut a sequence to this length", length, cut.length);
  cut.length = length;
}

int64_t KvCache::length(int64_t sequence) const { return at(sequence).length; }

int64_t KvCache::bytes() const {
  int64_t bytes = 0;
  for (const auto& [id, sequence] : sequences_) {
    for (const CacheRows& keys : sequence.keys) bytes += keys.nbytes();
    for (const CacheRows& values : sequence.values) bytes += values.nbytes();
  }
  return bytes;
}

std::vector<AttentionSpan> KvCache::append(Context& ctx, int64_t layer, const TokenBatch& batch,
                                           const Tensor& keys, const Tensor& values) {
  const Shape wanted{batch.tokens(), kv_heads_, head_dim_};
  if (layer < 0 || layer >= layers_ || keys.shape() != wanted || values.shape() != wanted) {
    throw Error("keys and values do not fit the cache")
        .expected(fmt::format("{} for one of {} layers", to_string(wanted), layers_))
        .got(fmt::format("{} and {} for layer {}", to_string(keys.shape()),
                         to_string(values.shape()), layer));
  }
  check_batch(batch);
  for (const SequenceSlice& slice : batch.slices) {
    Sequence& sequence = at(slice.sequence);
    reserve(ctx, sequence, sequence.length + slice.count);
  }
  std::vector<AttentionSpan> spans;
  const auto index = static_cast<size_t>(layer);
  for (const SequenceSlice& slice : batch.slices) {
    Sequence& sequence = at(slice.sequence);
    CacheRows& own_keys = sequence.keys[index];
    CacheRows& own_values = sequence.values[index];
    ctx.backend.append_to_cache(ctx.stream, keys, slice.begin, slice.count, own_keys,
                                sequence.length);
    ctx.backend.append_to_cache(ctx.stream, values, slice.begin, slice.count, own_values,
                                sequence.length);
    spans.push_back(
        {slice.begin, slice.count, sequence.length + slice.count, own_keys, own_values});
  }
  return spans;
}

void KvCache::advance(const TokenBatch& batch) {
  check_batch(batch);
  for (const SequenceSlice& slice : batch.slices) {
    if (at(slice.sequence).capacity < at(slice.sequence).length + slice.count) {
      throw Error("cannot advance a sequence past what was appended to it")
          .got(std::to_string(slice.sequence));
    }
  }
  for (const SequenceSlice& slice : batch.slices) at(slice.sequence).length += slice.count;
}

std::vector<int32_t> KvCache::positions(const TokenBatch& batch) const {
  check_batch(batch);
  std::vector<int32_t> positions;
  for (const SequenceSlice& slice : batch.slices) {
    const int64_t length = at(slice.sequence).length;
    if (slice.count > kMaxLength - length) {
      throw Error("a sequence is too long")
          .expected(fmt::format("at most {} tokens", kMaxLength))
          .got(fmt::format("{} and {} more", length, slice.count));
    }
    for (int64_t i = 0; i < slice.count; ++i) positions.push_back(static_cast<int32_t>(length + i));
  }
  return positions;
}

KvCache::Sequence& KvCache::at(int64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) {
    throw Error("the cache has no such sequence").got(std::to_string(sequence));
  }
  return found->second;
}

const KvCache::Sequence& KvCache::at(int64_t sequence) const {
  return const_cast<KvCache*>(this)->at(sequence);
}

void KvCache::reserve(Context& ctx, Sequence& sequence, int64_t length) {
  if (length <= sequence.capacity) return;
  const int64_t capacity = std::max({length, 2 * sequence.capacity, kFirstCapacity});
  // The layers of a pass that were written already hold rows beyond `length`, so all of the old
  // capacity moves.
  std::vector<CacheRows> keys = copies(ctx, sequence.keys, sequence.capacity, capacity);
  std::vector<CacheRows> values = copies(ctx, sequence.values, sequence.capacity, capacity);
  sequence.keys = std::move(keys);
  sequence.values = std::move(values);
  sequence.capacity = capacity;
}

std::vector<CacheRows> KvCache::copies(Context& ctx, const std::vector<CacheRows>& layers,
                                       int64_t length, int64_t capacity) const {
  std::vector<CacheRows> copies;
  for (size_t layer = 0; layer < static_cast<size_t>(layers_); ++layer) {
    CacheRows copy(ctx.empty(dtype_, {kv_heads_, capacity, head_dim_}));
    if (dtype_ == DType::kI8) copy.scales = ctx.empty(DType::kF32, {kv_heads_, capacity});
    if (!layers.empty()) ctx.backend.copy_cache(ctx.stream, layers[layer], length, copy);
    copies.push_back(std::move(copy));
  }
  return copies;
}

}  // namespace nibble
