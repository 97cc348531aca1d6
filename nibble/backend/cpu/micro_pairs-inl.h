// SPDX-License-Identifier: Apache-2.0
//
// The register tile of every integer matrix product: up to four broadcast rows times two vectors of
// tokens. A step multiplies pairs of columns: a 32-bit lane of b holds two neighbouring columns of
// one token as int16, and a broadcast the same two of one weight row. That is twice the
// multiply-adds per instruction of the float tile (micro_gemm-inl.h).
#if defined(NIBBLE_CPU_MICRO_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_MICRO_PAIRS_INL_H_
#undef NIBBLE_CPU_MICRO_PAIRS_INL_H_
#else
#define NIBBLE_CPU_MICRO_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "nibble/backend/cpu/micro_gemm-inl.h"
#include "nibble/backend/cpu/vnni-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// An addition has a latency of one cycle, so eight sums are plenty, and their multiplicands stay in
// the sixteen registers of AVX2.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int kPairRows = 12;
#else
inline constexpr int kPairRows = 4;
#endif

using PairSums = hn::ScalableTag<int32_t>;

// sum += a_even * b_even + a_odd * b_odd in each 32-bit lane.
template <class V16>
HWY_INLINE hn::Vec<PairSums> add_pair_products(V16 a, V16 b, hn::Vec<PairSums> sum) {
  const PairSums d32;
#if HWY_TARGET == HWY_AVX3_DL
  return add_products_of_2(a, b, sum);
#elif HWY_ARCH_X86
  auto unused = hn::Zero(d32);  // x86 multiplies and adds pairs in place
  return hn::ReorderWidenMulAccumulate(d32, a, b, sum, unused);
#else
  const auto a32 = hn::BitCast(d32, a), b32 = hn::BitCast(d32, b);
  const auto even = hn::Mul(hn::ShiftRight<16>(hn::ShiftLeft<16>(a32)),
                            hn::ShiftRight<16>(hn::ShiftLeft<16>(b32)));
  const auto odd = hn::Mul(hn::ShiftRight<16>(a32), hn::ShiftRight<16>(b32));
  return hn::Add(sum, hn::Add(even, odd));
#endif
}

// sum0/sum1[r] = the products of row r of `a` (rows `row_stride` int16 apart) with the two vectors
// of `b` [pairs, tile_columns(), 2], over all pairs.
template <int kRows>
HWY_INLINE void multiply_pairs(const int16_t* HWY_RESTRICT a, int64_t row_stride,
                               const int16_t* HWY_RESTRICT b, int64_t pairs,
                               hn::Vec<PairSums>* sum0, hn::Vec<PairSums>* sum1) {
  const PairSums d32;
  HWY_UNROLL(12)
  for (int r = 0; r < kRows; ++r) sum0[r] = sum1[r] = hn::Zero(d32);
#if HWY_TARGET == HWY_SCALAR
  for (int64_t p = 0; p < pairs; ++p, a += 2, b += 4) {
    for (int r = 0; r < kRows; ++r) {
      const int16_t* w = a + r * row_stride;
      sum0[r].raw += int32_t{w[0]} * b[0] + int32_t{w[1]} * b[1];
      sum1[r].raw += int32_t{w[0]} * b[2] + int32_t{w[1]} * b[3];
    }
  }
#else
  const hn::Repartition<int16_t, PairSums> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d32));
  for (int64_t p = 0; p < pairs; ++p) {
    const auto b0 = hn::Load(d16, b), b1 = hn::Load(d16, b + 2 * lanes);
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      hwy::CopyBytes<4>(a + r * row_stride, &pair);
      const auto value = hn::BitCast(d16, hn::Set(d32, pair));
      sum0[r] = add_pair_products(value, b0, sum0[r]);
      sum1[r] = add_pair_products(value, b1, sum1[r]);
    }
    a += 2;
    b += 4 * lanes;
  }
#endif
}

#if HWY_TARGET == HWY_AVX3_DL

// The same by fours: unsigned codes b [quads, tile_columns(), 4] times signed rows.
template <int kRows>
HWY_INLINE void multiply_quads(const int8_t* HWY_RESTRICT a, int64_t row_stride,
                               const uint8_t* HWY_RESTRICT b, int64_t quads,
                               hn::Vec<PairSums>* sum0, hn::Vec<PairSums>* sum1) {
  const PairSums d32;
  const hn::Repartition<uint8_t, PairSums> d8;
  const hn::Repartition<int8_t, PairSums> signed8;
  HWY_UNROLL(12)
  for (int r = 0; r < kRows; ++r) sum0[r] = sum1[r] = hn::Zero(d32);
  for (int64_t q = 0; q < quads; ++q, a += 4, b += 128) {
    const auto b0 = hn::Load(d8, b), b1 = hn::Load(d8, b + 64);
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      int32_t quad;
      hwy::CopyBytes<4>(a + r * row_stride, &quad);
      const auto value = hn::BitCast(signed8, hn::Set(d32, quad));
      sum0[r] = add_products_of_4(b0, value, sum0[r]);
      sum1[r] = add_products_of_4(b1, value, sum1[r]);
    }
  }
}

// Packs token groups [begin, end) of codes [tokens, stride] in [-128, 127], `cols` (a multiple of
// four) of them each, as code + 128 into `packed` [groups, cols / 4, tile_columns(), 4].
HWY_INLINE void pack_quads(const int16_t* codes, int64_t stride, int64_t tokens, int64_t cols,
                           int64_t begin, int64_t end, uint8_t* packed) {
  const int64_t group = tile_columns();
  for (int64_t g = begin; g < end; ++g) {
    uint8_t* out = packed + g * cols * group;
    for (int64_t i = 0; i < group; ++i) {
      const int64_t t = g * group + i;
      if (t >= tokens) {
        for (int64_t q = 0; q < cols; q += 4) hwy::ZeroBytes<4>(out + q * group + i * 4);
        continue;
      }
      const int16_t* from = codes + t * stride;
      for (int64_t q = 0; q < cols; q += 4) {
        uint8_t quad[4];
        for (int j = 0; j < 4; ++j) quad[j] = static_cast<uint8_t>(from[q + j] + 128);
        hwy::CopyBytes<4>(quad, out + q * group + i * 4);
      }
    }
  }
}

#endif  // HWY_TARGET == HWY_AVX3_DL

// Packs token groups [begin, end) of codes [tokens, stride] int16 (an even number `cols` of columns
// each) into `packed` [groups, cols / 2, tile_columns(), 2], zero padded.
HWY_INLINE void pack_pairs(const int16_t* codes, int64_t stride, int64_t tokens, int64_t cols,
                           int64_t begin, int64_t end, int16_t* packed) {
  const int64_t group = tile_columns(), pairs = cols / 2;
  constexpr int64_t kStretch = 64;  // pairs whose packed form (4 KiB) stays in L1
  for (int64_t g = begin; g < end; ++g) {
    int16_t* out = packed + g * pairs * 2 * group;
    const int64_t present = std::min(group, tokens - g * group);
    if (present < group) std::fill_n(out, pairs * 2 * group, int16_t{0});
    for (int64_t p0 = 0; p0 < pairs; p0 += kStretch) {
      const int64_t stop = std::min(p0 + kStretch, pairs);
      for (int64_t i = 0; i < present; ++i) {
        const int16_t* from = codes + (g * group + i) * stride;
        for (int64_t p = p0; p < stop; ++p) {
          hwy::CopyBytes<4>(from + 2 * p, out + (p * group + i) * 2);
        }
      }
    }
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
