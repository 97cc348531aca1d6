// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() for few tokens: exact dots of int8 rows. Codes are widened to int16 because AVX2 has
// no exact 8-bit multiply-add: pairs of int16 products are summed into int32 without saturation.
#include <algorithm>

#include "nibble/backend/cpu/llm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/int8_dot.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sums[t] = w . x[t] for kTokens tokens that lie `stride` apart; count <= 2^16, so that
// 2^16 * 127 * 128 fits into int32.
template <int kTokens>
HWY_INLINE void int8_dot(const int8_t* HWY_RESTRICT w, const int16_t* HWY_RESTRICT x,
                         int64_t stride, int64_t count, int32_t* HWY_RESTRICT sums) {
  int64_t i = 0;
  for (int t = 0; t < kTokens; ++t) sums[t] = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<int16_t> d16;
  const hn::Rebind<int8_t, decltype(d16)> d8;
  const hn::RepartitionToWide<decltype(d16)> d32;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d16));
  hn::Vec<decltype(d32)> sum0[kTokens], sum1[kTokens], sum2[kTokens], sum3[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    sum0[t] = sum1[t] = sum2[t] = sum3[t] = hn::Zero(d32);
  }
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    prefetch_weights(w + i);
    const auto w0 = hn::PromoteTo(d16, hn::LoadU(d8, w + i));
    const auto w1 = hn::PromoteTo(d16, hn::LoadU(d8, w + i + lanes));
    HWY_UNROLL(4)
    for (int t = 0; t < kTokens; ++t) {
      const int16_t* from = x + t * stride + i;
      sum0[t] = hn::ReorderWidenMulAccumulate(d32, w0, hn::LoadU(d16, from), sum0[t], sum1[t]);
      sum2[t] =
          hn::ReorderWidenMulAccumulate(d32, w1, hn::LoadU(d16, from + lanes), sum2[t], sum3[t]);
    }
  }
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    const auto total = hn::Add(hn::Add(sum0[t], sum1[t]), hn::Add(sum2[t], sum3[t]));
    sums[t] = hn::GetLane(hn::SumOfLanes(d32, total));
  }
#endif
  for (; i < count; ++i) {
    for (int t = 0; t < kTokens; ++t) sums[t] += int32_t{w[i]} * x[t * stride + i];
  }
}

void Int8DotRows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                 RowRange range) {
  constexpr int64_t kChunk = int64_t{1} << 16;
  const int8_t* elements = static_cast<const int8_t*>(weight.elements);
  const int64_t outliers = static_cast<int64_t>(x.outlier_columns.size());
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int8_t* w = elements + row * weight.cols;
    const float bias = args.bias ? args.bias[row] : 0.0f;
    for (int64_t t = 0; t < x.tokens;) {
      const int step = x.tokens - t >= 4 ? 4 : x.tokens - t >= 2 ? 2 : 1;
      int64_t totals[4] = {0, 0, 0, 0};
      for (int64_t k = 0; k < weight.cols; k += kChunk) {
        const int64_t count = std::min(kChunk, weight.cols - k);
        const int16_t* codes = x.codes.get() + t * x.stride + k;
        int32_t sums[4] = {0, 0, 0, 0};
        if (step == 4) int8_dot<4>(w + k, codes, x.stride, count, sums);
        if (step == 2) int8_dot<2>(w + k, codes, x.stride, count, sums);
        if (step == 1) int8_dot<1>(w + k, codes, x.stride, count, sums);
        for (int i = 0; i < step; ++i) totals[i] += sums[i];
      }
      for (int i = 0; i < step; ++i, ++t) {
        float outlier_sum = 0.0f;
        for (int64_t j = 0; j < outliers; ++j) {
          outlier_sum += x.outliers[static_cast<size_t>(t * outliers + j)] *
                         static_cast<float>(w[x.outlier_columns[static_cast<size_t>(j)]]);
        }
        args.y[t * weight.rows + row] =
            int8_result(static_cast<float>(totals[i]), outlier_sum,
                        x.absmax[static_cast<size_t>(t)], weight.row_absmax[row]) +
            bias;
      }
    }
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(Int8DotRows);

void int8_dot_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                   RowRange range) {
  HWY_DYNAMIC_DISPATCH(Int8DotRows)(weight, x, args, range);
}
}  // namespace nibble::cpu
#endif
