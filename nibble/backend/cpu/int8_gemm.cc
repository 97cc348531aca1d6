// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() for many tokens: register tiles of exact int8 products, and the outlier columns as a
// small float product beside them.
#include <hwy/aligned_allocator.h>

#include <algorithm>

#include "nibble/backend/cpu/llm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/int8_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/micro_gemm-inl.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Pairs of columns per stretch: 256 x 16 pairs of int16 are 16 KiB of a 32 KiB L1.
constexpr int64_t kPairs = 256;

void Int8GemmPack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed) {
  pack_pairs(x.codes.data(), x.stride, x.tokens, (x.cols + 1) / 2 * 2, begin, end, packed);
}

// c [rows, group] += the products of `rows` rows of a [rows, 2 * kPairs] with one token group.
template <int kRows>
HWY_INLINE void add_products(const int16_t* a, const int16_t* b, int64_t pairs, int32_t* c) {
  const PairSums d32;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d32));
  hn::Vec<PairSums> sum0[kRows], sum1[kRows];
  multiply_pairs<kRows>(a, 2 * kPairs, b, pairs, sum0, sum1);
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r, c += 2 * lanes) {
    hn::Store(hn::Add(sum0[r], hn::Load(d32, c)), d32, c);
    hn::Store(hn::Add(sum1[r], hn::Load(d32, c + lanes)), d32, c + lanes);
  }
}

HWY_INLINE void add_all_products(const int16_t* a, int64_t rows, const int16_t* b, int64_t pairs,
                                 int32_t* c) {
  const int64_t group = tile_columns();
  for (; rows >= kPairRows;
       rows -= kPairRows, a += kPairRows * 2 * kPairs, c += kPairRows * group) {
    add_products<kPairRows>(a, b, pairs, c);
  }
  for (; rows > 0; --rows, a += 2 * kPairs, c += group) add_products<1>(a, b, pairs, c);
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
      add_all_products(tile.get(), rows, packed + (g * all_pairs + p) * 2 * group, pairs,
                       sums + g * rows * group);
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
