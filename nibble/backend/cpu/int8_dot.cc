// SPDX-License-Identifier: Apache-2.0
//
// Exact int8 x int8 products of LLM.int8() for few tokens (a dot per row) and many (a register tile
// that reuses weights). Codes are widened to int16 because AVX2 has no exact 8-bit multiply-add:
// pairs of int16 products are summed into int32 without saturation.
#include <hwy/aligned_allocator.h>

#include <algorithm>

#include "nibble/backend/cpu/llm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/int8_dot.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kInverseMaxSquared = 1.0f / (kInt8Max * kInt8Max);

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
    const float absmax = weight.row_absmax[row], scale = absmax / kInt8Max;
    const float bias = args.bias ? args.bias[row] : 0.0f;
    for (int64_t t = 0; t < x.tokens;) {
      const int step = x.tokens - t >= 4 ? 4 : x.tokens - t >= 2 ? 2 : 1;
      int64_t totals[4] = {0, 0, 0, 0};
      for (int64_t k = 0; k < weight.cols; k += kChunk) {
        const int64_t count = std::min(kChunk, weight.cols - k);
        const int16_t* codes = x.codes.data() + t * x.stride + k;
        int32_t sums[4] = {0, 0, 0, 0};
        if (step == 4) int8_dot<4>(w + k, codes, x.stride, count, sums);
        if (step == 2) int8_dot<2>(w + k, codes, x.stride, count, sums);
        if (step == 1) int8_dot<1>(w + k, codes, x.stride, count, sums);
        for (int i = 0; i < step; ++i) totals[i] += sums[i];
      }
      for (int i = 0; i < step; ++i, ++t) {
        float outlier_sum = 0.0f;
        for (int64_t j = 0; j < outliers; ++j) {
          outlier_sum += x.outliers[static_cast<size_t>(j * x.tokens + t)] *
                         static_cast<float>(w[x.outlier_columns[static_cast<size_t>(j)]]);
        }
        args.y[t * weight.rows + row] = static_cast<float>(totals[i]) *
                                            (x.absmax[static_cast<size_t>(t)] * absmax) *
                                            kInverseMaxSquared +
                                        outlier_sum * scale + bias;
      }
    }
  }
}

// Many tokens. A step multiplies pairs of columns: a lane of x holds the codes of two neighbouring
// columns of one token, and a broadcast holds the same two columns of one weight row.
HWY_INLINE int64_t group_tokens() {
  return 2 * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<int32_t>()));
}

int64_t Int8GroupTokens() { return group_tokens(); }

void Int8GemmPack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed) {
  const int64_t group = group_tokens(), pairs = (x.cols + 1) / 2;
  for (int64_t g = begin; g < end; ++g) {
    int16_t* out = packed + g * pairs * 2 * group;
    for (int64_t i = 0; i < group; ++i) {
      const int64_t token = g * group + i;
      const int16_t* from = x.codes.data() + token * x.stride;  // stride is even and zero padded
      for (int64_t p = 0; p < pairs; ++p) {
        out[(p * group + i) * 2] = token < x.tokens ? from[2 * p] : int16_t{0};
        out[(p * group + i) * 2 + 1] = token < x.tokens ? from[2 * p + 1] : int16_t{0};
      }
    }
  }
}

struct Int8TileArgs {
  const int16_t* a;  // [rows, row_stride]
  int64_t row_stride;
  const int16_t* b;  // [pairs, group, 2]
  int64_t pairs;
  int32_t* c;
  int64_t c_stride;
  bool add;
};

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void multiply_int8_rows(const Int8TileArgs& args, int64_t rows) {
  const int64_t group = group_tokens();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < group; ++i) {
      int32_t sum = args.add ? args.c[r * args.c_stride + i] : 0;
      for (int64_t k = 0; k < 2 * args.pairs; ++k) {
        sum += int32_t{args.a[r * args.row_stride + k]} * args.b[(k / 2 * group + i) * 2 + k % 2];
      }
      args.c[r * args.c_stride + i] = sum;
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
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d16));
  hn::Vec<decltype(d32)> sum0[kRows], sum1[kRows];
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) {
    sum0[r] = hn::Zero(d32);
    sum1[r] = hn::Zero(d32);
  }
  const int16_t* HWY_RESTRICT a = args.a;
  const int16_t* HWY_RESTRICT b = args.b;
  for (int64_t p = 0; p < args.pairs; ++p) {
    const auto b0 = hn::Load(d16, b), b1 = hn::Load(d16, b + lanes);
    HWY_UNROLL(6)
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      hwy::CopyBytes<4>(a + r * args.row_stride, &pair);
      const auto value = hn::BitCast(d16, hn::Set(d32, pair));
      sum0[r] = add_pair_products(d32, value, b0, sum0[r]);
      sum1[r] = add_pair_products(d32, value, b1, sum1[r]);
    }
    a += 2;
    b += 2 * lanes;
  }
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) {
    int32_t* c = args.c + r * args.c_stride;
    if (args.add) {
      sum0[r] = hn::Add(sum0[r], hn::Load(d32, c));
      sum1[r] = hn::Add(sum1[r], hn::Load(d32, c + lanes / 2));
    }
    hn::Store(sum0[r], d32, c);
    hn::Store(sum1[r], d32, c + lanes / 2);
  }
}

HWY_INLINE void multiply_int8_rows(Int8TileArgs args, int64_t rows) {
  const auto advance = [&](int64_t count) {
    args.a += count * args.row_stride;
    args.c += count * args.c_stride;
    rows -= count;
  };
  while (rows >= 6) {
    multiply_int8_tile<6>(args);
    advance(6);
  }
  while (rows >= 2) {
    multiply_int8_tile<2>(args);
    advance(2);
  }
  if (rows == 1) multiply_int8_tile<1>(args);
}
#endif

void Int8GemmRows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                  const int16_t* packed, RowRange range, int64_t token_begin, int64_t token_end) {
  // Pairs per stretch: 256 x 16 pairs of int16 are 16 KiB of a 32 KiB L1.
  constexpr int64_t kPairs = 256;
  const int64_t group = group_tokens(), rows = range.end - range.begin, cols = weight.cols;
  const int64_t all_pairs = (cols + 1) / 2, first_group = token_begin / group;
  const int64_t groups = (token_end - token_begin + group - 1) / group, stride = groups * group;
  const auto sums = hwy::AllocateAligned<int32_t>(static_cast<size_t>(rows * stride));
  const auto tile = hwy::AllocateAligned<int16_t>(static_cast<size_t>(rows * 2 * kPairs));
  std::fill_n(sums.get(), rows * stride, 0);
  const int8_t* elements = static_cast<const int8_t*>(weight.elements);
  for (int64_t p = 0; p < all_pairs; p += kPairs) {
    const int64_t pairs = std::min(kPairs, all_pairs - p);
    for (int64_t r = 0; r < rows; ++r) {
      const int8_t* from = elements + (range.begin + r) * cols + 2 * p;
      int16_t* to = tile.get() + r * 2 * kPairs;
      const int64_t count = std::min(2 * pairs, cols - 2 * p);
      for (int64_t k = 0; k < count; ++k) to[k] = from[k];
      if (count < 2 * pairs) to[count] = 0;  // an odd last column
    }
    for (int64_t g = 0; g < groups; ++g) {
      const int16_t* b = packed + ((first_group + g) * all_pairs + p) * 2 * group;
      multiply_int8_rows({.a = tile.get(),
                          .row_stride = 2 * kPairs,
                          .b = b,
                          .pairs = pairs,
                          .c = sums.get() + g * group,
                          .c_stride = stride,
                          .add = true},
                         rows);
    }
  }
  const int64_t outliers = static_cast<int64_t>(x.outlier_columns.size());
  std::vector<float> outlier_sums(static_cast<size_t>(outliers > 0 ? token_end - token_begin : 0));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = range.begin + r;
    const float absmax = weight.row_absmax[row], scale = absmax / kInt8Max;
    const float bias = args.bias ? args.bias[row] : 0.0f;
    std::fill(outlier_sums.begin(), outlier_sums.end(), 0.0f);
    for (int64_t j = 0; j < outliers; ++j) {
      const float w =
          static_cast<float>(elements[row * cols + x.outlier_columns[static_cast<size_t>(j)]]);
      const float* from = x.outliers.data() + j * x.tokens + token_begin;
      for (size_t i = 0; i < outlier_sums.size(); ++i) outlier_sums[i] += from[i] * w;
    }
    for (int64_t t = token_begin; t < token_end; ++t) {
      const int64_t i = t - token_begin;
      const float outlier_sum = outliers > 0 ? outlier_sums[static_cast<size_t>(i)] : 0.0f;
      args.y[t * weight.rows + row] =
          static_cast<float>(sums[static_cast<size_t>(r * stride + i)]) *
              (x.absmax[static_cast<size_t>(t)] * absmax) * kInverseMaxSquared +
          outlier_sum * scale + bias;
    }
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(Int8DotRows);
HWY_EXPORT(Int8GroupTokens);
HWY_EXPORT(Int8GemmPack);
HWY_EXPORT(Int8GemmRows);

void int8_dot_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                   RowRange range) {
  HWY_DYNAMIC_DISPATCH(Int8DotRows)(weight, x, args, range);
}

int64_t int8_gemm_group_size(int64_t cols) {
  return (cols + 1) / 2 * 2 * HWY_DYNAMIC_DISPATCH(Int8GroupTokens)();
}

void int8_gemm_pack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed) {
  HWY_DYNAMIC_DISPATCH(Int8GemmPack)(x, begin, end, packed);
}

void int8_gemm_rows(const WeightView& weight, const Int8Activations& x, const LinearArgs& args,
                    const int16_t* packed, RowRange range, int64_t token_begin, int64_t token_end) {
  HWY_DYNAMIC_DISPATCH(Int8GemmRows)(weight, x, args, packed, range, token_begin, token_end);
}
}  // namespace nibble::cpu
#endif
