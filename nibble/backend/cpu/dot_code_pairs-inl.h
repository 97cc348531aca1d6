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
#include "nibble/backend/cpu/float_load-inl.h"
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

// Groups whose scales are made together, by vectors.
constexpr int64_t kChunkGroups = 8;

template <class T>
HWY_INLINE float float_at(const char* from) {
  return hn::GetLane(load_floats(hn::CappedTag<float, 1>(), reinterpret_cast<const T*>(from)));
}

// The absmax of the block at the cursor.
template <BlockSpan kSpan>
HWY_INLINE float absmax_at(const CodeRows& rows, const char* at) {
  if constexpr (!is_narrow(kSpan)) return float_at<float>(at);
  return rows.scale_dtype == DType::kF16 ? float_at<fp16>(at) : float_at<bf16>(at);
}

// The absmax of the next kCount groups in `out`: of groups in kHalfGroup the first half's, with the
// second half's kCount further on. Moves the cursor's absmax behind them.
template <BlockSpan kSpan, int64_t kCount>
HWY_INLINE void next_absmax(const CodeRows& rows, CodeCursor& at, float* HWY_RESTRICT out) {
  constexpr int64_t kBytes = is_narrow(kSpan) ? sizeof(bf16) : sizeof(float);
  if constexpr (kSpan == BlockSpan::kHalfGroup) {
    for (int64_t i = 0; i < kCount; ++i) {
      out[i] = float_at<float>(at.absmax + 2 * i * kBytes);
      out[kCount + i] = float_at<float>(at.absmax + (2 * i + 1) * kBytes);
    }
    at.absmax += 2 * kCount * kBytes;
  } else if constexpr (kSpan == BlockSpan::kNarrowGroup && kCount > 1) {
    const Floats d;
    const auto widen = [&](const auto* from) HWY_ATTR {
      for (int64_t i = 0; i < kCount; i += static_cast<int64_t>(hn::Lanes(d))) {
        hn::Store(load_floats(d, from + i), d, out + i);
      }
    };
    if (rows.scale_dtype == DType::kF16) {
      widen(reinterpret_cast<const fp16*>(at.absmax));
    } else {
      widen(reinterpret_cast<const bf16*>(at.absmax));
    }
    at.absmax += kCount * kBytes;
  } else {
    for (int64_t i = 0; i < kCount; ++i) {
      out[i] = absmax_at<kSpan>(rows, at.absmax);
      if (--at.left > 0) continue;  // the next group is in this block, too
      at.left = rows.groups_per_block;
      at.absmax += kBytes;
    }
  }
}

// Vector t of `lanes` sums up to row . x[t] over the row's next `groups`, for kTokens consecutive
// tokens. Moves the row's cursor behind them.
template <int kRows, int kTokens, BlockSpan kSpan>
HWY_INLINE void dot_rows(const CodePairs& table, const CodeRows& rows, int64_t groups,
                         CodeCursor* cursors, const int16_t* HWY_RESTRICT x,
                         const float* HWY_RESTRICT x_scales, float* HWY_RESTRICT lanes) {
  static_assert(kRows == 1);
  constexpr bool kHalves = kSpan == BlockSpan::kHalfGroup;
  const CodeBytes d8;
  const Floats d;
  const int64_t bytes = static_cast<int64_t>(hn::Lanes(d8)), group = 2 * bytes;
  const int64_t cols = rows.groups * group;
  CodeCursor at = *cursors;
  hn::Vec<Floats> total[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) total[t] = hn::Zero(d);
  // The next kCount groups: what is the same for all lanes is multiplied by vectors, once.
  const auto add = [&]<int64_t kCount>(int64_t g) HWY_ATTR {
    constexpr int64_t kScales = (kHalves ? 2 : 1) * kCount;
    alignas(32) float absmax[kScales], scales[kTokens * kScales];
    next_absmax<kSpan, kCount>(rows, at, absmax);
    const hn::CappedTag<float, kCount> ds;
    for (int t = 0; t < kTokens; ++t) {
      for (int64_t k = 0; k < kScales; k += static_cast<int64_t>(hn::Lanes(ds))) {
        const auto of_x = hn::LoadU(ds, x_scales + t * rows.groups + g + k % kCount);
        hn::StoreU(hn::Mul(hn::LoadU(ds, absmax + k), of_x), ds, scales + t * kScales + k);
      }
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
        auto scale = hn::Set(d, scales[t * kScales + i]);
        if constexpr (kHalves) {
          const auto second = hn::Set(d, scales[t * kScales + kCount + i]);
          scale = hn::IfThenElse(hn::FirstN(d, hn::Lanes(d) / 2), scale, second);
        }
        total[t] = hn::MulAdd(product, scale, total[t]);
      }
    }
  };
  int64_t g = 0;
  for (; g + kChunkGroups <= groups; g += kChunkGroups) add.template operator()<kChunkGroups>(g);
  for (; g < groups; ++g) add.template operator()<1>(g);
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) hn::Store(total[t], d, lanes + t * hn::MaxLanes(d));
  *cursors = at;
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET > HWY_AVX3 && HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
