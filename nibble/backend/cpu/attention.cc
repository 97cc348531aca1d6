// SPDX-License-Identifier: Apache-2.0
//
// Causal attention with an online softmax (arXiv 1805.02867). The query rows of one kv head (token
// x head of its group) are gathered a tile wide, one per vector lane, so that scores, softmax and
// the weighted sum of values all run on whole vectors, with the register tile of the linear layers.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/micro_gemm-inl.h"
#include "nibble/backend/cpu/vector_math-inl.h"

// Shared by all targets, so outside their namespaces and defined once.
#ifndef NIBBLE_CPU_ATTENTION_TASK_
#define NIBBLE_CPU_ATTENTION_TASK_
namespace nibble::cpu {
// Query rows [row_begin, row_end) of one span and kv head; row = token of the span * group + head
// of the group.
struct AttentionTask {
  const float* query;   // [tokens of the span, heads, head_dim]
  const float* keys;    // [capacity, head_dim] of this kv head
  const float* values;  // likewise
  float* y;             // like query
  int64_t heads, head_dim, group, first_head;
  int64_t first_position;  // of the span's first token
  int64_t sliding_window;
  float scale;
  int64_t row_begin, row_end;
};
}  // namespace nibble::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys per step: a step's scores (64 x 16 floats) and keys stay in L1.
constexpr int64_t kKeyBlock = 64;
// Below any score: the running maximum before the first visible key. Finite, so that the
// difference of two of them is a number.
constexpr float kLowest = -3.0e38f;

int64_t AttentionRows() { return tile_columns(); }

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

template <int kVectors>
HWY_INLINE void attend_tile(const AttentionTask& task) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), width = kVectors * lanes;
  const int64_t head_dim = task.head_dim, rows = task.row_end - task.row_begin;
  const auto scratch =
      hwy::AllocateAligned<float>(static_cast<size_t>((2 * head_dim + kKeyBlock + 2) * width));
  const auto position_of = hwy::AllocateAligned<int32_t>(static_cast<size_t>(width));
  float* query = scratch.get();               // [head_dim, width], scaled
  float* output = query + head_dim * width;   // [head_dim, width]
  float* scores = output + head_dim * width;  // [kKeyBlock, width]
  float* maximum = scores + kKeyBlock * width;
  float* total = maximum + width;
  // Row -> offset of its head in query and y; lanes without a row repeat the last one.
  const auto row_at = [&](int64_t lane) { return task.row_begin + std::min(lane, rows - 1); };
  const auto offset_of = [&](int64_t lane) {
    const int64_t row = row_at(lane);
    return (row / task.group * task.heads + task.first_head + row % task.group) * head_dim;
  };
  for (int64_t lane = 0; lane < width; ++lane) {
    const float* from = task.query + offset_of(lane);
    for (int64_t i = 0; i < head_dim; ++i) query[i * width + lane] = from[i] * task.scale;
    position_of[static_cast<size_t>(lane)] =
        static_cast<int32_t>(task.first_position + row_at(lane) / task.group);
    maximum[lane] = kLowest;
    total[lane] = 0.0f;
  }
  std::fill_n(output, head_dim * width, 0.0f);

  const int64_t first = position_of[0], last = position_of[static_cast<size_t>(width - 1)];
  const int64_t window = task.sliding_window;
  int64_t key = window > 0 ? std::max<int64_t>(0, first - window + 1) : 0;
  for (; key <= last; key += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, last + 1 - key);
    multiply_rows<kVectors>({.a = task.keys + key * head_dim,
                             .row_stride = head_dim,
                             .k_stride = 1,
                             .b = query,
                             .depth = head_dim,
                             .c = scores,
                             .c_stride = width,
                             .add = false},
                            count);
    const bool all_visible = key + count - 1 <= first && (window <= 0 || key > last - window);
    for (int64_t v = 0; v < width; v += lanes) {
      if (!all_visible) {
        mask_scores(d, position_of.get() + v, window, key, count, scores + v, width);
      }
      softmax_step(d, count, width, head_dim, scores + v, maximum + v, total + v, output + v);
    }
    multiply_rows<kVectors>({.a = task.values + key * head_dim,
                             .row_stride = 1,
                             .k_stride = head_dim,
                             .b = scores,
                             .depth = count,
                             .c = output,
                             .c_stride = width,
                             .add = true},
                            head_dim);
  }
  for (int64_t lane = 0; lane < rows; ++lane) {
    float* to = task.y + offset_of(lane);
    for (int64_t i = 0; i < head_dim; ++i) to[i] = output[i * width + lane] / total[lane];
  }
}

void Attend(const AttentionTask& task) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  // Decoding one token has few query rows: do not pay for a second, empty vector.
  if (task.row_end - task.row_begin <= lanes) return attend_tile<1>(task);
  attend_tile<2>(task);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(AttentionRows);
HWY_EXPORT(Attend);

void attention(ThreadPool& pool, const AttentionArgs& args, float* y) {
  const int64_t heads = args.query.dim(1), head_dim = args.query.dim(2);
  const float* query = args.query.data<float>().data();
  const int64_t tile = HWY_DYNAMIC_DISPATCH(AttentionRows)();
  std::vector<AttentionTask> tasks;
  int64_t work = 0;  // multiply-adds
  for (const AttentionSpan& span : args.spans) {
    const int64_t kv_heads = span.keys.dim(0), capacity = span.keys.dim(1);
    const int64_t group = heads / kv_heads, rows = span.count * group;
    const float* keys = span.keys.data<float>().data();
    const float* values = span.values.data<float>().data();
    work += 2 * span.count * heads * span.length * head_dim;
    for (int64_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
      for (int64_t row = 0; row < rows; row += tile) {
        tasks.push_back({.query = query + span.begin * heads * head_dim,
                         .keys = keys + kv_head * capacity * head_dim,
                         .values = values + kv_head * capacity * head_dim,
                         .y = y + span.begin * heads * head_dim,
                         .heads = heads,
                         .head_dim = head_dim,
                         .group = group,
                         .first_head = kv_head * group,
                         .first_position = span.length - span.count,
                         .sliding_window = args.sliding_window,
                         .scale = args.scale,
                         .row_begin = row,
                         .row_end = std::min(row + tile, rows)});
      }
    }
  }
  // Below this many multiply-adds (a few microseconds) one thread is done before others wake.
  constexpr int64_t kSerialWork = 64 << 10;
  const int64_t count = static_cast<int64_t>(tasks.size());
  pool.parallel_for(count, work < kSerialWork ? count : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(Attend)(tasks[static_cast<size_t>(i)]);
    }
  });
}
}  // namespace nibble::cpu
#endif
