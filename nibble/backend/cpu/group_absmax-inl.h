// SPDX-License-Identifier: Apache-2.0
//
// The absmax of consecutive groups of a row of 4-bit codes as floats, so that kernels can multiply
// them by the scales of x several at a time.
#if defined(NIBBLE_CPU_GROUP_ABSMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_GROUP_ABSMAX_INL_H_
#undef NIBBLE_CPU_GROUP_ABSMAX_INL_H_
#else
#define NIBBLE_CPU_GROUP_ABSMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "nibble/backend/cpu/code_cursor.h"
#include "nibble/backend/cpu/float_load-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Groups whose scales are made together, by vectors.
constexpr int64_t kChunkGroups = 8;

// Spreads the absmax of consecutive blocks of `span` groups over groups [begin, end), counted from
// the first block's first. `groups` has room for kChunkGroups more.
HWY_INLINE void spread_absmax(const float* HWY_RESTRICT blocks, int64_t span, int64_t begin,
                              int64_t end, float* HWY_RESTRICT groups) {
  const hn::CappedTag<float, kChunkGroups> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
#if HWY_TARGET <= HWY_AVX2  // whose masked loads read only what they give, from anywhere
  if (begin == 0 && lanes % span == 0) {  // the usual case: whole blocks in every vector
    const int64_t blocks_at_once = lanes / span;
    const auto first = hn::FirstN(d, static_cast<size_t>(blocks_at_once));
    alignas(32) int32_t block_of_lane[kChunkGroups];
    for (int64_t i = 0; i < lanes; ++i) block_of_lane[i] = static_cast<int32_t>(i / span);
    const auto spread = hn::SetTableIndices(d, block_of_lane);
    for (; begin + lanes <= end; begin += lanes, blocks += blocks_at_once, groups += lanes) {
      hn::StoreU(hn::TableLookupLanes(hn::MaskedLoad(first, d, blocks), spread), d, groups);
    }
  }
#endif
  int64_t left = span - begin % span;  // of the block
  for (int64_t g = begin; g < end; ++blocks, g += left, left = span) {
    const auto absmax = hn::Set(d, *blocks);
    for (int64_t i = 0; i < left && g + i < end; i += lanes) {
      hn::StoreU(absmax, d, groups + (g - begin) + i);  // beyond the block: overwritten
    }
  }
}

// The absmax of the next kCount groups: of groups in kHalfGroup that of each half. Moves the
// cursor's absmax behind them.
template <BlockSpan kSpan, int64_t kCount>
HWY_INLINE void next_absmax(const CodeRows& rows, CodeCursor& at, float* HWY_RESTRICT out) {
  constexpr int64_t kElements = kSpan == BlockSpan::kHalfGroup ? 2 * kCount : kCount;
  const hn::CappedTag<float, kElements> d;
  const auto copy = [&](const auto* from) HWY_ATTR {
    for (int64_t i = 0; i < kElements; i += static_cast<int64_t>(hn::Lanes(d))) {
      hn::StoreU(load_floats(d, from + i), d, out + i);
    }
    at.absmax += kElements * static_cast<int64_t>(sizeof *from);
  };
  if constexpr (kSpan != BlockSpan::kNarrowGroup) {
    copy(reinterpret_cast<const float*>(at.absmax));
  } else if (rows.scale_dtype == DType::kF16) {
    copy(reinterpret_cast<const fp16*>(at.absmax));
  } else {
    copy(reinterpret_cast<const bf16*>(at.absmax));
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
