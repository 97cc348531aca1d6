// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times int8 rows with float activations: x in int16 by groups of columns
// (block_activations.h), so that a product takes the integer multiply-add, which does twice as many
// as the float one and needs no conversion of codes to floats. A group's exact integer sum becomes
// a float once, times the scale of x.
#include "nibble/backend/cpu/block_activations.h"
#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_int8_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/few_tokens-inl.h"
#include "nibble/backend/cpu/lane_sums-inl.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// No groups: every shape goes through dot_rows.
void DotInt8Rows(const WeightView&, const BlockActivations&, const LinearArgs&, const int16_t*,
                 RowRange) {}

#else

using Sums = hn::ScalableTag<float>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Sums()));

// Vector r * kTokens + t of `lanes` sums up to w[r] . x[t] for rows that lie x.cols apart and the
// part of the tokens that begins with token t.
template <int kRows, int kTokens>
HWY_INLINE void dot_groups(const int8_t* HWY_RESTRICT w, const BlockActivations& x, int64_t t,
                           const int16_t* HWY_RESTRICT part, float* HWY_RESTRICT lanes) {
  constexpr int kSums = kRows * kTokens;
  const PairSums d32;
  const Sums d;
  const hn::ScalableTag<int16_t> d16;
  const hn::Rebind<int8_t, decltype(d16)> d8;
  const int64_t width = static_cast<int64_t>(hn::Lanes(d16));
  const int64_t group = 4 * static_cast<int64_t>(hn::Lanes(hn::CappedTag<int16_t, 16>()));
  const int64_t groups = x.cols / group;
  const float* HWY_RESTRICT scales = x.scales.get() + t * groups;
  hn::Vec<Sums> total[kSums];
  HWY_UNROLL(8)
  for (int s = 0; s < kSums; ++s) total[s] = hn::Zero(d);
  for (int64_t g = 0; g < groups; ++g) {
    hn::Vec<PairSums> sum[kSums];
    HWY_UNROLL(8)
    for (int s = 0; s < kSums; ++s) sum[s] = hn::Zero(d32);
    HWY_UNROLL(2)
    for (int r = 0; r < kRows; ++r) prefetch(w + r * x.cols, kInt8Prefetch);
    for (int64_t i = 0; i < group; i += width, w += width, part += kTokens * width) {
      hn::Vec<decltype(d16)> weight[kRows];
      HWY_UNROLL(2)
      for (int r = 0; r < kRows; ++r) {
        weight[r] = hn::PromoteTo(d16, hn::LoadU(d8, w + r * x.cols));
      }
      HWY_UNROLL(4)
      for (int k = 0; k < kTokens; ++k) {
        const auto value = hn::LoadU(d16, part + k * width);
        HWY_UNROLL(2)
        for (int r = 0; r < kRows; ++r) {
          auto& to = sum[r * kTokens + k];
          to = add_pair_products(weight[r], value, to);
        }
      }
    }
    HWY_UNROLL(4)
    for (int k = 0; k < kTokens; ++k) {
      const auto scale = hn::Set(d, scales[k * groups + g]);
      HWY_UNROLL(2)
      for (int r = 0; r < kRows; ++r) {
        auto& to = total[r * kTokens + k];
        to = hn::MulAdd(hn::ConvertTo(d, sum[r * kTokens + k]), scale, to);
      }
    }
  }
  HWY_UNROLL(8)
  for (int s = 0; s < kSums; ++s) hn::Store(total[s], d, lanes + s * kLanes);
}

// kSteps times kRows rows from `row` on times the part of kTokens tokens from `t` on.
template <int kRows, int kTokens, int kSteps>
HWY_INLINE void dot_tile(const WeightView& weight, const BlockActivations& x,
                         const LinearArgs& args, const int16_t* part, int64_t row, int64_t t) {
  constexpr int kSums = kRows * kTokens, kAll = kSteps * kSums;
  const int8_t* w = static_cast<const int8_t*>(weight.elements) + row * weight.cols;
  alignas(64) float lanes[kAll * kLanes];
  for (int step = 0; step < kSteps; ++step, w += kRows * weight.cols) {
    dot_groups<kRows, kTokens>(w, x, t, part, lanes + step * kSums * kLanes);
  }
  float sums[(kAll + 3) / 4 * 4];
  sum_lanes<kAll>(Sums(), lanes, sums);
  for (int r = 0; r < kSteps * kRows; ++r) {
    const float scale = weight.row_absmax[row + r] / kInt8Max;
    const float bias = args.bias ? args.bias[row + r] : 0.0f;
    for (int k = 0; k < kTokens; ++k) {
      args.y[(t + k) * weight.rows + row + r] = sums[r * kTokens + k] * scale + bias;
    }
  }
}

void DotInt8Rows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                 const int16_t* parts, RowRange range) {
  for_parts(x.tokens, [&]<int kTokens>(int64_t t) HWY_ATTR {
    // One token takes single rows, as they lie in memory, but sums up the lanes of four together.
    constexpr int kRows = kTokens > 1 ? 2 : 1, kSteps = kTokens > 1 ? 1 : 4;
    const int16_t* part = parts + t * x.cols;
    int64_t row = range.begin;
    for (; row + kRows * kSteps <= range.end; row += kRows * kSteps) {
      dot_tile<kRows, kTokens, kSteps>(weight, x, args, part, row, t);
    }
    for (; row < range.end; ++row) dot_tile<1, kTokens, 1>(weight, x, args, part, row, t);
  });
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(DotInt8Rows);

bool can_dot_int8_rows(const WeightView& weight) {
  const int64_t group = code_group();
  return weight.layout == Layout::kInt8Row && !weight.activations_are_int8 && group > 0 &&
         weight.cols > 0 && weight.cols % group == 0;
}

BlockActivations quantize_for_int8_rows(ThreadPool& pool, BufferCache& buffers,
                                        const LinearArgs& args, int64_t cols) {
  // 64 products of a code and an x are far from 2^31.
  return quantize_blocks(pool, buffers, args.x, args.tokens, cols,
                         {.limits = {.magnitude = 32767}});
}

void dot_int8_rows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                   const int16_t* parts, RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotInt8Rows)(weight, x, args, parts, range);
}
}  // namespace nibble::cpu
#endif
