// SPDX-License-Identifier: Apache-2.0
//
// Keys and values of running sequences, per sequence and layer as [kv_heads, capacity, head_dim] in
// float32, float16 or int8 (format/cache_rows.h). Sequences join, grow, are cut back, forked and
// dropped independently of each other, so a batch is ragged and needs no padding.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "nibble/ops/context.h"

namespace nibble {

// Rows [begin, begin + count) of a flat token batch that continue `sequence`.
struct SequenceSlice {
  int64_t sequence = 0;
  int64_t begin = 0, count = 0;
};

// The tokens of one forward pass: those of all slices, one after the other.
struct TokenBatch {
  std::vector<int32_t> ids;
  std::vector<SequenceSlice> slices;

  void add(int64_t sequence, const std::vector<int32_t>& tokens);
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

class KvCache {
 public:
  // Throws Error for a dtype that is none of the three.
  KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, DType dtype = DType::kF32);

  DType dtype() const { return dtype_; }

  int64_t add_sequence();  // returns its id; length 0
  // A copy of the first `length` positions that continues on its own.
  int64_t fork(Context& ctx, int64_t sequence, int64_t length);
  void drop(int64_t sequence);  // frees its memory
  void truncate(int64_t sequence, int64_t length);
  int64_t length(int64_t sequence) const;
  int64_t bytes() const;  // of all sequences, their room to grow included

  // Stores the keys and values [tokens, kv_heads, head_dim] of the batch's rows behind what `layer`
  // holds and returns one attention span per slice. Lengths advance with advance(), once all layers
  // are written.
  std::vector<AttentionSpan> append(Context& ctx, int64_t layer, const TokenBatch& batch,
                                    const Tensor& keys, const Tensor& values);
  void advance(const TokenBatch& batch);

  // The position of each row of the batch.
  std::vector<int32_t> positions(const TokenBatch& batch) const;

 private:
  struct Sequence {
    int64_t length = 0, capacity = 0;
    std::vector<CacheRows> keys, values;  // per layer
  };
  Sequence& at(int64_t sequence);
  const Sequence& at(int64_t sequence) const;
  void reserve(Context& ctx, Sequence& sequence, int64_t length);
  // New rows of `capacity` for every layer, beginning with the first `length` of those given.
  std::vector<CacheRows> copies(Context& ctx, const std::vector<CacheRows>& layers, int64_t length,
                                int64_t capacity) const;

  int64_t layers_, kv_heads_, head_dim_, next_id_ = 0;
  DType dtype_;
  std::map<int64_t, Sequence> sequences_;
};

}  // namespace nibble
