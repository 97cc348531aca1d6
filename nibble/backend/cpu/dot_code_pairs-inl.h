// SPDX-License-Identifier: Apache-2.0
//
// A row of 4-bit codes times few tokens where there is no AVX-512: one group at a time, looked up
// by byte shuffles (code_pairs-inl.h), with x in BlockOrder::kCodes.
#if defined(NIBBLE_CPU_DOT_CODE_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_DOT_CODE_PAIRS_INL_H_
#undef NIBBLE_CPU_DOT_CODE_PAIRS_INL_H_
#else
#define NIBBLE_CPU_DOT_CODE_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "nibble/backend/cpu/code_cursor.h"
#include "nibble/backend/cpu/code_pairs-inl.h"
#include "nibble/backend/cpu/group_absmax-inl.h"
#include "nibble/backend/cpu/linear_kernels.h"

#if HWY_TARGET > HWY_AVX3 && HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr BlockOrder kOrder = BlockOrder::kCodes;
constexpr int64_t kLargestPart = 4;
constexpr int kRowsTogether = 1;  // sixteen registers
using CodeTable = CodePairs;
using Sums = hn::Repartition<int32_t, CodeBytes>;
using Floats = hn::Repartition<float, CodeBytes>;
using TotalLanes = Floats;
constexpr int kFloatLanes = static_cast<int>(hn::MaxLanes(Floats()));

// The sum of a group's products, over all lanes.
HWY_INLINE hn::Vec<Floats> group_product(const CodePairs::Values& w,
                                         const int16_t* HWY_RESTRICT x) {
  const CodePairs::D16 d16;
  const Sums d32;
  const Floats d;
  const size_t lanes = hn::Lanes(d16);
  auto rest = hn::Zero(d32);  // stays zero on x86, which adds pairs in place
  const auto product = [&](CodePairs::V16 values, size_t from, hn::Vec<Sums> sum) HWY_ATTR {
    return hn::ReorderWidenMulAccumulate(d32, values, hn::Load(d16, x + from), sum, rest);
  };
  auto sum = product(w.even0, 0, hn::Zero(d32));
  auto odd = product(w.odd0, 2 * lanes, hn::Zero(d32));
  sum = product(w.even1, lanes, sum);
  odd = product(w.odd1, 3 * lanes, odd);
  sum = hn::Add(sum, odd);
#if !HWY_ARCH_X86
  sum = hn::Add(sum, rest);
#endif
  return hn::ConvertTo(d, sum);
}

// absmax[i] times the scale of x of the group that it belongs to, for kCount groups of a token.
template <BlockSpan kSpan, int64_t kCount>
HWY_INLINE void make_scales(const float* HWY_RESTRICT absmax, const float* HWY_RESTRICT of_x,
                            float* HWY_RESTRICT scales) {
  const hn::CappedTag<float, kCount> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < kCount; i += lanes) {
    const auto x_scale = hn::LoadU(d, of_x + i);
    if constexpr (kSpan != BlockSpan::kHalfGroup) {
      hn::StoreU(hn::Mul(hn::LoadU(d, absmax + i), x_scale), d, scales + i);
    } else if constexpr (kCount == 1) {
      scales[0] = absmax[0] * of_x[0];
      scales[1] = absmax[1] * of_x[0];
    } else {
      hn::Vec<decltype(d)> even, odd;
      hn::LoadInterleaved2(d, absmax + 2 * i, even, odd);
      hn::StoreInterleaved2(hn::Mul(even, x_scale), hn::Mul(odd, x_scale), d, scales + 2 * i);
    }
  }
}

// The scales of one of kCount groups in the lanes of its sums.
template <BlockSpan kSpan, int64_t kCount>
HWY_INLINE hn::Vec<Floats> in_lanes(const float* HWY_RESTRICT scales) {
  const Floats d;
  if constexpr (kSpan != BlockSpan::kHalfGroup) {
    return hn::Set(d, *scales);
  } else if constexpr (kCount == 1) {  // still in registers
    return hn::IfThenElse(hn::FirstN(d, hn::Lanes(d) / 2), hn::Set(d, scales[0]),
                          hn::Set(d, scales[1]));
  } else {
    const auto lane = hn::Iota(hn::RebindToSigned<Floats>(), 0);
    const auto half = hn::ShiftRight < kFloatLanes == 8 ? 2 : 1 > (lane);
    return hn::TableLookupLanes(hn::LoadU(d, scales), hn::IndicesFromVec(d, half));
  }
}

// The lanes of vector t sum up to row . x[t] over the row's next `groups`, for kTokens consecutive
// tokens, and if `add` to what they held before. Moves the row's cursor behind them.
template <int kRows, int kTokens, BlockSpan kSpan>
HWY_INLINE void dot_rows(const CodePairs& table, const CodeRows& rows, int64_t groups,
                         CodeCursor* cursors, const int16_t* HWY_RESTRICT x,
                         const float* HWY_RESTRICT x_scales, bool add, float* HWY_RESTRICT lanes) {
  static_assert(kRows == 1);
  constexpr bool kHalves = kSpan == BlockSpan::kHalfGroup;
  const CodeBytes d8;
  const Floats d;
  const int64_t bytes = static_cast<int64_t>(hn::Lanes(d8)), group = 2 * bytes;
  const int64_t cols = rows.groups * group;
  CodeCursor at = *cursors;
  hn::Vec<Floats> total[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    total[t] = add ? hn::Load(d, lanes + t * kFloatLanes) : hn::Zero(d);
  }
  // The next kCount groups: what is the same for all lanes is multiplied by vectors, once.
  const auto next = [&]<int64_t kCount>(int64_t g) HWY_ATTR {
    constexpr int64_t kScales = (kHalves ? 2 : 1) * kCount;
    constexpr int64_t kRead = kHalves ? kFloatLanes : 0;  // beyond the last
    alignas(32) float absmax[kScales], scales[kTokens * kScales + kRead];
    next_absmax<kSpan, kCount>(rows, at, absmax);
    for (int t = 0; t < kTokens; ++t) {
      make_scales<kSpan, kCount>(absmax, x_scales + t * rows.groups + g, scales + t * kScales);
    }
    // Broadcast from memory, not from the registers they were stored from: shuffles are scarce
    // here.
    if constexpr (kCount > 1) asm volatile("" : : "r"(scales) : "memory");
    for (int64_t i = 0; i < kCount; ++i) {
      prefetch(at.codes, kCodesPrefetch);
      const CodePairs::Values values = table.look_up(hn::LoadU(d8, at.codes));
      at.codes += bytes;
      HWY_UNROLL(4)
      for (int t = 0; t < kTokens; ++t) {
        const auto product = group_product(values, x + t * cols + (g + i) * group);
        const float* own = scales + t * kScales + (kHalves ? 2 : 1) * i;
        const auto scale = in_lanes<kSpan, kCount>(own);
        total[t] = hn::MulAdd(product, scale, total[t]);
      }
    }
  };
  int64_t g = 0;
  for (; g + kChunkGroups <= groups; g += kChunkGroups) next.template operator()<kChunkGroups>(g);
  for (; g < groups; ++g) next.template operator()<1>(g);
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) hn::Store(total[t], d, lanes + t * kFloatLanes);
  *cursors = at;
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET > HWY_AVX3 && HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
