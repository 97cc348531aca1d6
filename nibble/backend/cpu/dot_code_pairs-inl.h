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

// Vector t of `lanes` sums up to row . x[t] over the row's next `groups`, for kTokens consecutive
// tokens. Moves the row's cursor behind them.
template <int kRows, int kTokens, BlockSpan kSpan>
HWY_INLINE void dot_rows(const CodePairs& table, const CodeRows& rows, int64_t groups,
                         CodeCursor* cursors, const int16_t* HWY_RESTRICT x,
                         const float* HWY_RESTRICT x_scales, float* HWY_RESTRICT lanes) {
  static_assert(kRows == 1);
  const CodeBytes d8;
  const Floats d;
  const int64_t bytes = static_cast<int64_t>(hn::Lanes(d8)), group = 2 * bytes;
  const int64_t cols = rows.groups * group;
  const uint8_t* HWY_RESTRICT codes = cursors->codes;
  const char* HWY_RESTRICT absmax = cursors->absmax;
  int64_t left = cursors->left;
  const auto next_absmax = [&]() HWY_ATTR {
    const char* from = absmax;
    absmax += is_narrow(kSpan) ? sizeof(bf16) : sizeof(float);
    const hn::CappedTag<float, 1> one;
    if (!is_narrow(kSpan)) return *reinterpret_cast<const float*>(from);
    return rows.scale_dtype == DType::kF16
               ? hn::GetLane(load_floats(one, reinterpret_cast<const fp16*>(from)))
               : hn::GetLane(load_floats(one, reinterpret_cast<const bf16*>(from)));
  };
  hn::Vec<Floats> total[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) total[t] = hn::Zero(d);
  for (int64_t g = 0; g < groups;) {
    int64_t stop = g + 1;
    auto scale = hn::Zero(d);
    if constexpr (kSpan == BlockSpan::kHalfGroup) {
      scale = hn::Set(d, next_absmax());
      const auto second = hn::Set(d, next_absmax());
      scale = hn::IfThenElse(hn::FirstN(d, hn::Lanes(d) / 2), scale, second);
    } else {
      const char* own = absmax;
      scale = hn::Set(d, next_absmax());
      stop = HWY_MIN(g + left, groups);
      left -= stop - g;
      if (left > 0) {
        absmax = own;  // the next row goes on with this block
      } else {
        left = rows.groups_per_block;
      }
    }
    for (; g < stop; ++g) {
      prefetch(codes + g * bytes, kCodesPrefetch);
      const CodePairs::Values values = table.look_up(hn::LoadU(d8, codes + g * bytes));
      HWY_UNROLL(4)
      for (int t = 0; t < kTokens; ++t) {
        const auto product = group_product(values, x + t * cols + g * group);
        const auto x_scale = hn::Set(d, x_scales[t * rows.groups + g]);
        total[t] = hn::MulAdd(hn::Mul(product, x_scale), scale, total[t]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) hn::Store(total[t], d, lanes + t * hn::MaxLanes(d));
  *cursors = {codes + groups * bytes, absmax, left};
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET > HWY_AVX3 && HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
