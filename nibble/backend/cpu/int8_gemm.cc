// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() for many tokens: register tiles of exact int8 products, and the outlier columns as a
// small float product beside them. A step multiplies pairs of columns: a 32-bit lane of x holds two
// neighbouring columns of one token as int16, and a broadcast the same two of one weight row.
#include <hwy/aligned_allocator.h>

#include <algorithm>

#include "nibble/backend/cpu/llm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/int8_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/micro_gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Pairs of columns per stretch: 256 x 16 pairs of int16 are 16 KiB of a 32 KiB L1.
constexpr int64_t kPairs = 256;

void Int8GemmPack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed) {
  const int64_t group = tile_columns();
  constexpr int64_t kStretch = 64;  // pairs whose packed form (4 KiB) stays in L1
  const int64_t pairs = (x.cols + 1) / 2;
  for (int64_t g = begin; g < end; ++g) {
    int16_t* out = packed + g * pairs * 2 * group;
    const int64_t present = std::min(group, x.tokens - g * group);
    if (present < group) std::fill_n(out, pairs * 2 * group, int16_t{0});
    for (int64_t p0 = 0; p0 < pairs; p0 += kStretch) {
      const int64_t stop = std::min(p0 + kStretch, pairs);
      for (int64_t i = 0; i < present; ++i) {
        const int16_t* from = x.codes.data() + (g * group + i) * x.stride;  // padded to whole pairs
        for (int64_t p = p0; p < stop; ++p) {
          hwy::CopyBytes<4>(from + 2 * p, out + (p * group + i) * 2);
        }
      }
    }
  }
}

struct Int8TileArgs {
  const int16_t* a;  // [rows, 2 * kPairs]
  const int16_t* b;  // [pairs, group, 2]
  int64_t pairs;
  int32_t* c;  // [rows, group], added to
};

#if HWY_TARGET == HWY_SCALAR
template <int kRows>
void multiply_int8_tile(const Int8TileArgs& args) {
  const int64_t group = tile_columns();
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < group; ++i) {
      int32_t sum = args.c[r * group + i];
      for (int64_t p = 0; p < args.pairs; ++p) {
        const int16_t* a = args.a + (r * kPairs + p) * 2;
        const int16_t* b = args.b + (p * group + i) * 2;
        sum += int32_t{a[0]} * b[0] + int32_t{a[1]} * b[1];
      }
      args.c[r * group + i] = sum;
    }
  }
}
#else
// sum += a_even * b_even + a_odd * b_odd in each 32-bit lane.
template <class D32, class V16>
HWY_INLINE hn::Vec<D32> add_pair_products(D32 d32, V16 a, V16 b, hn::Vec<D32> sum) {
#if HWY_ARCH_X86
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

template <int kRows>
HWY_INLINE void multiply_int8_tile(const Int8TileArgs& args) {
  const hn::ScalableTag<int32_t> d32;
  const hn::Repartition<int16_t, decltype(d32)> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d32));
  hn::Vec<decltype(d32)> sum0[kRows], sum1[kRows];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) sum0[r] = sum1[r] = hn::Zero(d32);
  const int16_t* HWY_RESTRICT a = args.a;
  const int16_t* HWY_RESTRICT b = args.b;
  for (int64_t p = 0; p < args.pairs; ++p) {
    const auto b0 = hn::Load(d16, b), b1 = hn::Load(d16, b + 2 * lanes);
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      hwy::CopyBytes<4>(a + r * 2 * kPairs, &pair);
      const auto value = hn::BitCast(d16, hn::Set(d32, pair));
      sum0[r] = add_pair_products(d32, value, b0, sum0[r]);
      sum1[r] = add_pair_products(d32, value, b1, sum1[r]);
    }
    a += 2;
    b += 4 * lanes;
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    int32_t* c = args.c + r * 2 * lanes;
    hn::Store(hn::Add(sum0[r], hn::Load(d32, c)), d32, c);
    hn::Store(hn::Add(sum1[r], hn::Load(d32, c + lanes)), d32, c + lanes);
  }
}
#endif

HWY_INLINE void multiply_int8_rows(Int8TileArgs args, int64_t rows) {
  // Four rows: an addition has a latency of one cycle, so eight sums are plenty, and their
  // multiplicands stay in the sixteen registers of AVX2.
  constexpr int kRows = 4;
  const int64_t group = tile_columns();
  for (; rows >= kRows; rows -= kRows) {
    multiply_int8_tile<kRows>(args);
    args.a += kRows * 2 * kPairs;
    args.c += kRows * group;
  }
  for (; rows > 0; --rows) {
    multiply_int8_tile<1>(args);
    args.a += 2 * kPairs;
    args.c += group;
  }
}

// sums [groups, rows, group] of the exact products.
void multiply_codes(const WeightView& weight, const int16_t* packed, RowRange range, int64_t groups,
                    int32_t* sums) {
  const int64_t group = tile_columns(), rows = range.end - range.begin;
  const int64_t cols = weight.cols, all_pairs = (cols + 1) / 2;
  const auto tile = hwy::AllocateAligned<int16_t>(static_cast<size_t>(rows * 2 * kPairs));
  std::fill_n(sums, groups * rows * group, 0);
  for (int64_t p = 0; p < all_pairs; p += kPairs) {
    const int64_t pairs = std::min(kPairs, all_pairs - p);
    const int64_t count = std::min(2 * pairs, cols - 2 * p);
    for (int64_t r = 0; r < rows; ++r) {
      const int8_t* from =
          static_cast<const int8_t*>(weight.elements) + (range.begin + r) * cols + 2 * p;
      int16_t* to = tile.get() + r * 2 * kPairs;
      for (int64_t k = 0; k < count; ++k) to[k] = from[k];
      if (count < 2 * pairs) to[count] = 0;  // an odd last column
    }
    for (int64_t g = 0; g < groups; ++g) {
      multiply_int8_rows({.a = tile.get(),
                          .b = packed + (g * all_pairs + p) * 2 * group,
                          .pairs = pairs,
                          .c = sums + g * rows * group},
                         rows);
    }
  }
}

// sums [groups, rows, group] of outlier values times the codes of their columns.
void multiply_outliers(const WeightView& weight, const std::vector<int64_t>& columns,
                       const float* packed, RowRange range, int64_t groups, float* sums) {
  const int64_t group = tile_columns(), rows = range.end - range.begin;
  const int64_t count = static_cast<int64_t>(columns.size());
  const auto tile = hwy::AllocateAligned<float>(static_cast<size_t>(rows * count));
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row =
        static_cast<const int8_t*>(weight.elements) + (range.begin + r) * weight.cols;
    for (int64_t j = 0; j < count; ++j) {
      tile[static_cast<size_t>(r * count + j)] =
          static_cast<float>(row[columns[static_cast<size_t>(j)]]);
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    multiply_rows<2>({.a = tile.get(),
                      .row_stride = count,
                      .k_stride = 1,
                      .b = packed + g * count * group,
                      .depth = count,
                      .c = sums + g * rows * group,
                      .c_stride = group,
                      .add = false},
                     rows);
  }
}

void Int8GemmRows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                  const PackedInt8& packed, RowRange range, int64_t token_begin,
                  int64_t token_end) {
  const int64_t group = tile_columns(), rows = range.end - range.begin;
  const int64_t groups = (token_end - token_begin + group - 1) / group;
  const int64_t first_group = token_begin / group;
  const int64_t outliers = static_cast<int64_t>(x.outlier_columns.size());
  const auto size = static_cast<size_t>(groups * rows * group);
  const auto sums = hwy::AllocateAligned<int32_t>(size);
  multiply_codes(weight, packed.codes + first_group * ((x.cols + 1) / 2) * 2 * group, range, groups,
                 sums.get());
  const auto outlier_sums = hwy::AllocateAligned<float>(size);
  if (outliers > 0) {
    multiply_outliers(weight, x.outlier_columns, packed.outliers + first_group * outliers * group,
                      range, groups, outlier_sums.get());
  } else {
    std::fill_n(outlier_sums.get(), size, 0.0f);
  }
  for (int64_t t = token_begin; t < token_end; ++t) {
    const int64_t g = (t - token_begin) / group, lane = (t - token_begin) % group;
    const float absmax = x.absmax[static_cast<size_t>(t)];
    float* out = args.y + t * weight.rows + range.begin;
    for (int64_t r = 0; r < rows; ++r) {
      const auto at = static_cast<size_t>((g * rows + r) * group + lane);
      out[r] = int8_result(static_cast<float>(sums[at]), outlier_sums[at], absmax,
                           weight.row_absmax[range.begin + r]) +
               (args.bias ? args.bias[range.begin + r] : 0.0f);
    }
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(Int8GemmPack);
HWY_EXPORT(Int8GemmRows);

void int8_gemm_pack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed) {
  HWY_DYNAMIC_DISPATCH(Int8GemmPack)(x, begin, end, packed);
}

void int8_gemm_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                    const PackedInt8& packed, RowRange range, int64_t token_begin,
                    int64_t token_end) {
  HWY_DYNAMIC_DISPATCH(Int8GemmRows)(weight, x, args, packed, range, token_begin, token_end);
}
}  // namespace nibble::cpu
#endif
