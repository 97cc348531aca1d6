// SPDX-License-Identifier: Apache-2.0
//
// Attention for many query rows: a tile of them (token x head of the group) lies across the lanes,
// one row per lane, so that scores, softmax and the weighted sum of values all run on whole
// vectors, with the register tile of the linear layers. Keys and values of 16 or 8 bits are decoded
// a block at a time for several tiles.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "nibble/backend/cpu/attention_task.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/attend_tiles.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/cache_load-inl.h"
#include "nibble/backend/cpu/micro_gemm-inl.h"
#include "nibble/backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys per step: a step's scores (64 x 16 floats) and keys stay in L1.
constexpr int64_t kKeyBlock = 64;

int64_t AttentionLanes() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }

// Hides scores of keys [key, key + count) that a lane's query may not see: those after its
// position, and those that left its window.
template <class D>
HWY_INLINE void mask_scores(D d, const int32_t* positions, int64_t window, int64_t key,
                            int64_t count, float* scores, int64_t stride) {
  const hn::RebindToSigned<D> d32;
  const auto position = hn::Load(d32, positions);
  const auto hidden_score = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64_t s = 0; s < count; ++s) {
    const auto at = hn::Set(d32, static_cast<int32_t>(key + s));
    auto hidden = hn::Gt(at, position);
    if (window > 0) {
      const auto oldest =
          hn::Sub(position, hn::Set(d32, static_cast<int32_t>(std::min<int64_t>(
                                             window - 1, std::numeric_limits<int32_t>::max()))));
      hidden = hn::Or(hidden, hn::Lt(at, oldest));
    }
    float* row = scores + s * stride;
    hn::Store(hn::IfThenElse(hn::RebindMask(d, hidden), hidden_score, hn::Load(d, row)), d, row);
  }
}

// One step of the online softmax for one vector of lanes: scores become weights relative to the new
// maximum, and what was summed so far is scaled to it.
template <class D>
HWY_INLINE void softmax_step(D d, int64_t count, int64_t stride, int64_t head_dim, float* scores,
                             float* maximum, float* total, float* output) {
  const auto old_maximum = hn::Load(d, maximum);
  auto new_maximum = old_maximum;
  for (int64_t s = 0; s < count; ++s) {
    new_maximum = hn::Max(new_maximum, hn::Load(d, scores + s * stride));
  }
  auto sum = hn::Zero(d);
  for (int64_t s = 0; s < count; ++s) {
    const auto weight = exp_of(d, hn::Sub(hn::Load(d, scores + s * stride), new_maximum));
    hn::Store(weight, d, scores + s * stride);
    sum = hn::Add(sum, weight);
  }
  const auto correction = exp_of(d, hn::Sub(old_maximum, new_maximum));
  hn::Store(new_maximum, d, maximum);
  hn::Store(hn::MulAdd(hn::Load(d, total), correction, sum), d, total);
  if (hn::AllTrue(d, hn::Eq(correction, hn::Set(d, 1.0f)))) return;
  for (int64_t i = 0; i < head_dim; ++i) {
    float* out = output + i * stride;
    hn::Store(hn::Mul(hn::Load(d, out), correction), d, out);
  }
}

// One tile, kVectors wide, as it goes over the keys. Lanes without a row repeat the last one.
template <int kVectors>
class QueryTile {
 public:
  QueryTile(const AttentionTask& task, int64_t row_begin)
      : task_(task),
        lanes_(AttentionLanes()),
        width_(kVectors * lanes_),
        row_begin_(row_begin),
        rows_(std::min(width_, task.row_end - row_begin)),
        memory_(hwy::AllocateAligned<float>(static_cast<size_t>((2 * task.head_dim + 2) * width_))),
        positions_(hwy::AllocateAligned<int32_t>(static_cast<size_t>(width_))) {
    query_ = memory_.get();
    output_ = query_ + task.head_dim * width_;
    maximum_ = output_ + task.head_dim * width_;
    total_ = maximum_ + width_;
    for (int64_t lane = 0; lane < width_; ++lane) {
      const int64_t row = row_begin_ + std::min(lane, rows_ - 1);
      const float* from = task.query + task.offset(row);
      for (int64_t i = 0; i < task.head_dim; ++i) query_[i * width_ + lane] = from[i] * task.scale;
      positions_[static_cast<size_t>(lane)] = static_cast<int32_t>(task.position(row));
      maximum_[lane] = kLowestScore;
      total_[lane] = 0.0f;
    }
    std::fill_n(output_, task.head_dim * width_, 0.0f);
  }

  // Keys [key, key + count) and their values, [count, head_dim]; `scores` holds [count, width].
  HWY_INLINE void step(const float* keys, const float* values, int64_t key, int64_t count,
                       float* scores) {
    const hn::ScalableTag<float> d;
    const int64_t head_dim = task_.head_dim, window = task_.sliding_window;
    const int64_t first = positions_[0], last = positions_[static_cast<size_t>(width_ - 1)];
    count = std::min(count, last + 1 - key);
    if (count <= 0 || (window > 0 && key + count - 1 <= first - window)) return;
    multiply_rows<kVectors>({.a = keys,
                             .row_stride = head_dim,
                             .k_stride = 1,
                             .b = query_,
                             .depth = head_dim,
                             .c = scores,
                             .c_stride = width_,
                             .add = false},
                            count);
    const bool all_visible = key + count - 1 <= first && (window <= 0 || key > last - window);
    for (int64_t v = 0; v < width_; v += lanes_) {
      if (!all_visible) {
        mask_scores(d, positions_.get() + v, window, key, count, scores + v, width_);
      }
      softmax_step(d, count, width_, head_dim, scores + v, maximum_ + v, total_ + v, output_ + v);
    }
    multiply_rows<kVectors>({.a = values,
                             .row_stride = 1,
                             .k_stride = head_dim,
                             .b = scores,
                             .depth = count,
                             .c = output_,
                             .c_stride = width_,
                             .add = true},
                            head_dim);
  }

  void finish() const {
    for (int64_t lane = 0; lane < rows_; ++lane) {
      finish_row(task_, row_begin_ + lane, output_ + lane, width_, maximum_[lane], total_[lane]);
    }
  }

 private:
  const AttentionTask& task_;
  const int64_t lanes_, width_, row_begin_, rows_;
  hwy::AlignedFreeUniquePtr<float[]> memory_;
  hwy::AlignedFreeUniquePtr<int32_t[]> positions_;  // [width]
  float *query_, *output_;                          // [head_dim, width], the query scaled
  float *maximum_, *total_;                         // [width]
};

template <int kVectors>
HWY_INLINE void attend_tiles_of(const AttentionTask& task) {
  const int64_t head_dim = task.head_dim, width = kVectors * AttentionLanes();
  std::vector<QueryTile<kVectors>> tiles;
  tiles.reserve(static_cast<size_t>((task.rows() + width - 1) / width));
  for (int64_t row = task.row_begin; row < task.row_end; row += width) {
    tiles.emplace_back(task, row);
  }
  const bool decodes = task.keys.dtype != DType::kF32;
  const int64_t block = kKeyBlock * head_dim;
  const auto memory = hwy::AllocateAligned<float>(
      static_cast<size_t>(kKeyBlock * width + (decodes ? 2 * block : 0)));
  float* scores = memory.get();
  float* decoded_keys = scores + kKeyBlock * width;
  float* decoded_values = decoded_keys + block;
  // Blocks begin at multiples of their size: what a tile computes does not depend on its company.
  int64_t key = task.key_begin / kKeyBlock * kKeyBlock;
  for (; key < task.key_end; key += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, task.key_end - key);
    const float *keys = decoded_keys, *values = decoded_values;
    if (decodes) {
      decode_rows(task.keys, key, count, head_dim, decoded_keys);
      decode_rows(task.values, key, count, head_dim, decoded_values);
    } else {
      keys = task.keys.row<float>(key, head_dim);
      values = task.values.row<float>(key, head_dim);
    }
    for (QueryTile<kVectors>& tile : tiles) tile.step(keys, values, key, count, scores);
  }
  for (const QueryTile<kVectors>& tile : tiles) tile.finish();
}

void AttendTiles(const AttentionTask& task) {
  // Do not pay for a second, empty vector.
  if (task.rows() <= AttentionLanes()) return attend_tiles_of<1>(task);
  attend_tiles_of<2>(task);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(AttentionLanes);
HWY_EXPORT(AttendTiles);

int64_t attention_lanes() { return HWY_DYNAMIC_DISPATCH(AttentionLanes)(); }

void attend_tiles(const AttentionTask& task) { HWY_DYNAMIC_DISPATCH(AttendTiles)(task); }
}  // namespace nibble::cpu
#endif
