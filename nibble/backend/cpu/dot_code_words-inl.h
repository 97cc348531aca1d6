// SPDX-License-Identifier: Apache-2.0
//
// A row of 4-bit codes times few tokens with AVX-512: two groups of 64 elements at a time, looked
// up by word permutations, with x and its scales in BlockOrder::kWords.
#if defined(NIBBLE_CPU_DOT_CODE_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_DOT_CODE_WORDS_INL_H_
#undef NIBBLE_CPU_DOT_CODE_WORDS_INL_H_
#else
#define NIBBLE_CPU_DOT_CODE_WORDS_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "nibble/backend/cpu/code_cursor.h"
#include "nibble/backend/cpu/group_absmax-inl.h"
#include "nibble/backend/cpu/linear_kernels.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"

#if HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr BlockOrder kOrder = BlockOrder::kWords;
constexpr int64_t kLargestPart = kWordsPart;
constexpr int kRowsTogether = 2;
using TotalLanes = hn::Full512<float>;

// Codes as int16 values, one permutation for every four codes of a 16-bit lane: the instruction
// reads an index's low bits only, so that the lane's other codes need not be cleared.
class CodeTable {
 public:
  CodeTable(const float* values, float largest, float limit) {
    const float scale = largest > 0.0f ? limit / largest : 0.0f;
    for (int i = 0; i < 32; ++i) {  // twice: of 32 values the fifth bit is read, too
      values_[i] = static_cast<int16_t>(std::lrint(values[i % 16] * scale));
    }
  }

  HWY_INLINE hn::Vec512<int16_t> look_up(hn::Vec512<uint16_t> codes) const {
    const hn::Vec512<int16_t> table = hn::Load(hn::Full512<int16_t>(), values_);
    return {_mm512_permutexvar_epi16(codes.raw, table.raw)};
  }
  HWY_INLINE hn::Vec256<int16_t> look_up(hn::Vec256<uint16_t> codes) const {
    const hn::Vec256<int16_t> table = hn::Load(hn::Full256<int16_t>(), values_);
    return {_mm256_permutexvar_epi16(codes.raw, table.raw)};
  }

 private:
  alignas(64) int16_t values_[32];
};

HWY_INLINE hn::Vec512<int32_t> add_word_products(hn::Vec512<int16_t> a, hn::Vec512<int16_t> b,
                                                 hn::Vec512<int32_t> sum) {
  return add_pair_products(a, b, sum);
}
HWY_INLINE hn::Vec256<int32_t> add_word_products(hn::Vec256<int16_t> a, hn::Vec256<int16_t> b,
                                                 hn::Vec256<int32_t> sum) {
  auto unused = hn::Zero(hn::Full256<int32_t>());
  return hn::ReorderWidenMulAccumulate(hn::Full256<int32_t>(), a, b, sum, unused);
}

// A CodeCursor in registers.
template <BlockSpan kSpan>
struct FloatCursor {
  const uint8_t* codes;
  const float* absmax;

  HWY_INLINE FloatCursor(const CodeCursor& at, DType)
      : codes(at.codes), absmax(reinterpret_cast<const float*>(at.absmax)) {}

  // The absmax of each lane of the sums of the next group (d256), or of the next two. Moves behind
  // them.
  template <class D>
  HWY_INLINE hn::Vec<D> next_absmax(D d) {
    constexpr int kBlocks = static_cast<int>(hn::MaxLanes(D())) / kShared;
    auto lanes = hn::Set(d, absmax[0]);
    HWY_UNROLL(3)
    for (int i = 1; i < kBlocks; ++i) {
      lanes = hn::IfThenElse(hn::FirstN(d, kShared * i), lanes, hn::Set(d, absmax[i]));
    }
    absmax += kBlocks;
    return lanes;
  }

 private:
  static constexpr int kShared = kSpan == BlockSpan::kHalfGroup ? 4 : 8;  // lanes of a block
};

// The same with narrow absmax.
struct NarrowCursor {
  const uint8_t* codes;
  const uint16_t* absmax;
  bool fp16;

  HWY_INLINE NarrowCursor(const CodeCursor& at, DType scale_dtype)
      : codes(at.codes),
        absmax(reinterpret_cast<const uint16_t*>(at.absmax)),
        fp16(scale_dtype == DType::kF16) {}

  HWY_INLINE hn::Vec256<float> next_absmax(hn::Full256<float> d) { return widen(d, *absmax++); }
  HWY_INLINE hn::Vec512<float> next_absmax(hn::Full512<float> d) {
    uint32_t pair = 0;
    std::memcpy(&pair, absmax, sizeof pair);
    absmax += 2;
    return widen(d, pair);
  }

 private:
  // The lower half of `pair` in the lower eight lanes, its upper half in the others.
  template <class D>
  HWY_INLINE hn::Vec<D> widen(D d, uint32_t pair) const {
    if (fp16) {
      const hn::Rebind<uint16_t, D> d16;
      const auto first = hn::Set(d16, static_cast<uint16_t>(pair));
      const auto second = hn::Set(d16, static_cast<uint16_t>(pair >> 16));
      const auto lanes = hn::IfThenElse(hn::FirstN(d16, 8), first, second);
      return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), lanes));
    }
    // Each is the upper half of a float: the second lies there, the first moves up.
    const hn::RebindToUnsigned<D> d32;
    const auto shift = hn::IfThenElse(hn::FirstN(d32, 8), hn::Set(d32, 16u), hn::Zero(d32));
    const auto bits = hn::Shl(hn::Set(d32, pair), shift);
    return hn::BitCast(d, hn::And(bits, hn::Set(d32, 0xffff0000u)));
  }
};

template <BlockSpan kSpan>
using RowCursor =
    std::conditional_t<kSpan == BlockSpan::kNarrowGroup, NarrowCursor, FloatCursor<kSpan>>;

// The absmax of the next kCount groups, or of their halves. Moves the cursor's absmax behind them.
template <BlockSpan kSpan, int64_t kCount>
HWY_INLINE hn::Vec512<float> absmax_of_groups(const CodeRows& rows, CodeCursor& at) {
  const hn::Full512<float> d;
  if constexpr (kSpan == BlockSpan::kHalfGroup) {
    const char* from = at.absmax;
    at.absmax += 2 * kCount * int64_t{sizeof(float)};
    return hn::MaskedLoad(hn::FirstN(d, 2 * kCount), d, reinterpret_cast<const float*>(from));
  }
  if constexpr (kCount == 1) {
    float absmax = 0.0f;
    next_absmax<kSpan, 1>(rows, at, &absmax);
    return hn::Set(d, absmax);
  }
  alignas(32) float absmax[kChunkGroups] = {};
  next_absmax<kSpan, kCount>(rows, at, absmax);
  return hn::ZeroExtendVector(d, hn::Load(hn::Full256<float>(), absmax));
}

// The products of a group (or two) of codes with one token, summed over the four of each lane.
template <class D32>
HWY_INLINE hn::Vec<D32> word_products(D32 d32, const CodeTable& table,
                                      const uint8_t* HWY_RESTRICT from,
                                      const int16_t* HWY_RESTRICT x) {
  const hn::RepartitionToNarrow<D32> d16;
  const hn::RebindToUnsigned<decltype(d16)> u16;
  constexpr int64_t kWords = static_cast<int64_t>(hn::MaxLanes(d16));
  auto codes = hn::BitCast(u16, hn::LoadU(hn::Repartition<uint8_t, D32>(), from));
  asm("" : "+v"(codes.raw));  // loaded once: g++ would load it again for each shift
  auto sum = hn::Zero(d32);
  sum = add_word_products(table.look_up(hn::ShiftRight<4>(codes)), hn::LoadU(d16, x), sum);
  sum = add_word_products(table.look_up(codes), hn::LoadU(d16, x + kWords), sum);
  sum = add_word_products(table.look_up(hn::ShiftRight<12>(codes)), hn::LoadU(d16, x + 2 * kWords),
                          sum);
  return add_word_products(table.look_up(hn::ShiftRight<8>(codes)), hn::LoadU(d16, x + 3 * kWords),
                           sum);
}

// The same of one row and one token, whose scales are those of the groups, once each: kChunkGroups
// groups at a time, whose scales are multiplied by vectors and then spread over the lanes they
// belong to.
template <BlockSpan kSpan>
HWY_INLINE void dot_row(const CodeTable& table, const CodeRows& rows, int64_t groups,
                        CodeCursor* cursor, const int16_t* HWY_RESTRICT x,
                        const float* HWY_RESTRICT x_scales, bool add, float* HWY_RESTRICT lanes) {
  constexpr bool kHalves = kSpan == BlockSpan::kHalfGroup;
  constexpr int kShared = kHalves ? 4 : 8;  // lanes of a scale
  const hn::Full512<float> d;
  const hn::Full256<float> d256;
  const hn::Full512<int32_t> d32;
  CodeCursor at = *cursor;
  hn::Vec512<float> total = add ? hn::Load(d, lanes) : hn::Zero(d);
  // The next kCount groups.
  const auto next = [&]<int64_t kCount>(int64_t g) HWY_ATTR {
    auto of_x = kCount == 1 ? hn::Set(d, x_scales[g])
                            : hn::MaskedLoad(hn::FirstN(d, kCount), d, x_scales + g);
    if constexpr (kHalves) {  // each twice
      const auto twice = hn::ShiftRight<1>(hn::Iota(d32, 0));
      of_x = hn::TableLookupLanes(of_x, hn::IndicesFromVec(d, twice));
    }
    const auto scales = hn::Mul(absmax_of_groups<kSpan, kCount>(rows, at), of_x);
    const auto first = hn::Iota(d32, 0);
    const auto shared = kHalves ? hn::ShiftRight<2>(first) : hn::ShiftRight<3>(first);
    HWY_UNROLL(4)
    for (int64_t i = 0; i < kCount; i += 2) {
      const auto of_lanes = hn::Add(shared, hn::Set(d32, static_cast<int32_t>(i * 8 / kShared)));
      const auto scale = hn::TableLookupLanes(scales, hn::IndicesFromVec(d, of_lanes));
      prefetch(at.codes, kCodesPrefetch);
      if constexpr (kCount > 1) {
        const auto sum = word_products(hn::Full512<int32_t>(), table, at.codes, x);
        total = hn::MulAdd(hn::ConvertTo(d, sum), scale, total);
        at.codes += 64;
        x += 128;
      } else {
        const auto sum = word_products(hn::Full256<int32_t>(), table, at.codes, x);
        total = hn::MulAdd(hn::ZeroExtendVector(d, hn::ConvertTo(d256, sum)), scale, total);
        at.codes += 32;
        x += 64;
      }
    }
  };
  int64_t g = 0;
  for (; g + kChunkGroups <= groups; g += kChunkGroups) next.template operator()<kChunkGroups>(g);
  for (; g + 2 <= groups; g += 2) next.template operator()<2>(g);
  if (g < groups) next.template operator()<1>(g);
  hn::Store(total, d, lanes);
  *cursor = at;
}

// The lanes of vector r * kTokens + t sum up to row r . x[t] over the next `groups` of the rows,
// for the kTokens of one part, and if `add` to what they held before. Moves the rows' cursors
// behind them. Rows share what is loaded of x; two rows and eight tokens take 29 of 32 registers.
template <int kRows, int kTokens, BlockSpan kSpan>
HWY_INLINE void dot_rows(const CodeTable& table, const CodeRows& rows, int64_t groups,
                         CodeCursor* cursors, const int16_t* HWY_RESTRICT x,
                         const float* HWY_RESTRICT x_scales, bool add, float* HWY_RESTRICT lanes) {
  if constexpr (kRows == 1 && kTokens == 1) {
    return dot_row<kSpan>(table, rows, groups, cursors, x, x_scales, add, lanes);
  }
  static_assert(kRows <= 2);
  RowCursor<kSpan> cursor[2] = {{cursors[0], rows.scale_dtype},
                                {cursors[kRows - 1], rows.scale_dtype}};
  // Adds the products of the next one or two groups.
  const auto next = [&](auto d, auto total) HWY_ATTR {
    const hn::RepartitionToNarrow<hn::RebindToSigned<decltype(d)>> d16;
    const hn::RebindToUnsigned<decltype(d16)> u16;
    constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(d)), kWords = 2 * kLanes;
    hn::Vec<decltype(d16)> w[kRows][4];
    hn::Vec<decltype(d)> scale[kRows];
    HWY_UNROLL(2)
    for (int r = 0; r < kRows; ++r) {
      RowCursor<kSpan>& at = cursor[r];
      const auto codes =
          hn::BitCast(u16, hn::LoadU(hn::Repartition<uint8_t, decltype(u16)>(), at.codes));
      prefetch(at.codes, kCodesPrefetch);
      at.codes += 4 * kLanes;
      // Of a lane's four codes the second element is the lowest: a byte's high nibble is first.
      w[r][0] = table.look_up(hn::ShiftRight<4>(codes));
      w[r][1] = table.look_up(codes);
      w[r][2] = table.look_up(hn::ShiftRight<12>(codes));
      w[r][3] = table.look_up(hn::ShiftRight<8>(codes));
      scale[r] = at.next_absmax(d);
    }
    HWY_UNROLL(8)
    for (int t = 0; t < kTokens; ++t) {
      hn::Vec<hn::RebindToSigned<decltype(d)>> sum[kRows];
      HWY_UNROLL(2)
      for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(hn::RebindToSigned<decltype(d)>());
      HWY_UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        const auto of_x = hn::LoadU(d16, x + i * kWords);
        HWY_UNROLL(2)
        for (int r = 0; r < kRows; ++r) sum[r] = add_word_products(w[r][i], of_x, sum[r]);
      }
      const auto x_scale = hn::LoadU(d, x_scales);
      HWY_UNROLL(2)
      for (int r = 0; r < kRows; ++r) {
        auto& to = total[r * kTokens + t];
        to = hn::MulAdd(hn::Mul(hn::ConvertTo(d, sum[r]), x_scale), scale[r], to);
      }
      x += 4 * kWords;
      x_scales += kLanes;
    }
  };
  const hn::Full512<float> d512;
  const hn::Full256<float> d256;
  hn::Vec512<float> total[kRows * kTokens];
  HWY_UNROLL(16)
  for (int i = 0; i < kRows * kTokens; ++i)
    total[i] = add ? hn::Load(d512, lanes + i * 16) : hn::Zero(d512);
  for (int64_t pair = 0; pair < groups / 2; ++pair) next(d512, total);
  if (groups % 2 != 0) {
    hn::Vec256<float> rest[kRows * kTokens];
    HWY_UNROLL(16)
    for (int i = 0; i < kRows * kTokens; ++i) rest[i] = hn::Zero(d256);
    next(d256, rest);
    HWY_UNROLL(16)
    for (int i = 0; i < kRows * kTokens; ++i) {
      total[i] = hn::Add(total[i], hn::ZeroExtendVector(d512, rest[i]));
    }
  }
  HWY_UNROLL(16)
  for (int i = 0; i < kRows * kTokens; ++i) hn::Store(total[i], d512, lanes + i * 16);
  for (int r = 0; r < kRows; ++r) {
    cursors[r] = {cursor[r].codes, reinterpret_cast<const char*>(cursor[r].absmax)};
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET <= HWY_AVX3

#endif  // per-target include guard
