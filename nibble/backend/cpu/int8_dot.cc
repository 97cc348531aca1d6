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

#include "nibble/backend/cpu/few_tokens-inl.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What of a token is multiplied at once: 2^16 * 127 * 128 fits into int32.
constexpr int64_t kChunk = int64_t{1} << 16;

// sums[r * kTokens + t] = w[r] . x[t], exactly, for rows that lie `cols` apart and one part of the
// tokens: `x`, `stride` apart, for what is behind the last whole vector, and `part`.
template <int kRows, int kTokens>
HWY_INLINE void int8_dot(const int8_t* HWY_RESTRICT w, int64_t cols, const int16_t* HWY_RESTRICT x,
                         int64_t stride, [[maybe_unused]] const int16_t* HWY_RESTRICT part,
                         int64_t count, int32_t* HWY_RESTRICT sums) {
  constexpr int kSums = kRows * kTokens;
  int64_t i = 0;
  for (int s = 0; s < kSums; ++s) sums[s] = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr int kUnroll = kSums <= 2 ? 2 : 1;
  const hn::ScalableTag<int16_t> d16;
  const hn::Rebind<int8_t, decltype(d16)> d8;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d16));
  const PairSums d32;
  hn::Vec<PairSums> sum[kSums][kUnroll];
  HWY_UNROLL(16)
  for (int s = 0; s < kSums; ++s) {
    HWY_UNROLL(2)
    for (int u = 0; u < kUnroll; ++u) sum[s][u] = hn::Zero(d32);
  }
  for (; i + kUnroll * lanes <= count; i += kUnroll * lanes) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) prefetch(w + r * cols + i, kInt8Prefetch);
    HWY_UNROLL(2)
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = i + u * lanes;
      hn::Vec<decltype(d16)> weight[kRows];
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        weight[r] = hn::PromoteTo(d16, hn::LoadU(d8, w + r * cols + at));
      }
      HWY_UNROLL(4)
      for (int t = 0; t < kTokens; ++t) {
        const auto value = hn::LoadU(d16, part + at * kTokens + t * lanes);
        HWY_UNROLL(4)
        for (int r = 0; r < kRows; ++r) {
          auto& to = sum[r * kTokens + t][u];
          to = add_pair_products(weight[r], value, to);
        }
      }
    }
  }
  HWY_UNROLL(16)
  for (int s = 0; s < kSums; ++s) {
    auto total = sum[s][0];
    if constexpr (kUnroll == 2) total = hn::Add(total, sum[s][1]);
    sums[s] = hn::GetLane(hn::SumOfLanes(d32, total));
  }
#endif
  for (; i < count; ++i) {
    for (int r = 0; r < kRows; ++r) {
      for (int t = 0; t < kTokens; ++t) {
        sums[r * kTokens + t] += int32_t{w[r * cols + i]} * x[t * stride + i];
      }
    }
  }
}

// kRows rows from `row` on times the part of kTokens tokens from `t` on.
template <int kRows, int kTokens>
HWY_INLINE void dot_tile(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                         const int16_t* part, int64_t row, int64_t t) {
  const int8_t* w = static_cast<const int8_t*>(weight.elements) + row * weight.cols;
  const int64_t outliers = static_cast<int64_t>(x.outlier_columns.size());
  int64_t totals[kRows * kTokens] = {};
  for (int64_t k = 0; k < weight.cols; k += kChunk) {
    int32_t sums[kRows * kTokens];
    int8_dot<kRows, kTokens>(w + k, weight.cols, x.codes.get() + t * x.stride + k, x.stride,
                             part + k * kTokens, std::min(kChunk, weight.cols - k), sums);
    for (int s = 0; s < kRows * kTokens; ++s) totals[s] += sums[s];
  }
  for (int r = 0; r < kRows; ++r) {
    const float bias = args.bias ? args.bias[row + r] : 0.0f;
    for (int i = 0; i < kTokens; ++i) {
      float outlier_sum = 0.0f;
      for (int64_t j = 0; j < outliers; ++j) {
        const int64_t column = x.outlier_columns[static_cast<size_t>(j)];
        outlier_sum += x.outliers[static_cast<size_t>((t + i) * outliers + j)] *
                       static_cast<float>(w[r * weight.cols + column]);
      }
      args.y[(t + i) * weight.rows + row + r] =
          int8_result(static_cast<float>(totals[r * kTokens + i]), outlier_sum,
                      x.absmax[static_cast<size_t>(t + i)], weight.row_absmax[row + r]) +
          bias;
    }
  }
}

void PackCodes(const int16_t* codes, int64_t stride, int64_t tokens, int64_t cols,
               int16_t* packed) {
  pack_parts(hn::ScalableTag<int16_t>(), codes, stride, tokens, cols, packed);
}

void Int8DotRows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                 const int16_t* parts, RowRange range) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<int16_t>()));
  const int64_t whole = x.cols / lanes * lanes;
  for_parts(x.tokens, [&]<int kTokens>(int64_t t) HWY_ATTR {
    for_sharing_rows(range.begin, range.end, x.tokens, [&]<int kRows>(int64_t row) HWY_ATTR {
      dot_tile<kRows, kTokens>(weight, x, args, parts + t * whole, row, t);
    });
  });
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(PackCodes);
HWY_EXPORT(Int8DotRows);

void pack_codes(const int16_t* codes, int64_t stride, int64_t tokens, int64_t cols,
                int16_t* packed) {
  HWY_DYNAMIC_DISPATCH(PackCodes)(codes, stride, tokens, cols, packed);
}

void int8_dot_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                   const int16_t* parts, RowRange range) {
  HWY_DYNAMIC_DISPATCH(Int8DotRows)(weight, x, args, parts, range);
}
}  // namespace nibble::cpu
#endif
