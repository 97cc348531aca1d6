// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() for many tokens: register tiles of exact int8 products, and the outlier columns as a
// small float product beside them.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "nibble/backend/cpu/llm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/int8_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/micro_gemm-inl.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"
#include "nibble/backend/cpu/panel_output-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3_DL
// Four columns a step, the codes of x as unsigned bytes: x + 128, which adds 128 times the sum of a
// row to each of its results.
constexpr int64_t kStepColumns = 4, kOffset = 128;
using Code = uint8_t;
#else
// AVX2 has no exact 8-bit multiply-add, so both become int16.
constexpr int64_t kStepColumns = 2, kOffset = 0;
using Code = int16_t;
#endif
// What a row of the weight is held as, and what a step reads of it.
using RowCode = std::make_signed_t<Code>;
// Columns per stretch: what is packed of x for one token group is 16 KiB of a 32 KiB L1.
HWY_INLINE int64_t stretch_steps() { return (16 << 10) / (4 * tile_columns()); }

void Int8GemmPack(const Int8Activations& x, int64_t begin, int64_t end, int16_t* packed) {
  const int64_t cols = (x.cols + kStepColumns - 1) / kStepColumns * kStepColumns;
#if HWY_TARGET == HWY_AVX3_DL
  pack_quads(x.codes.get(), x.stride, x.tokens, cols, begin, end,
             reinterpret_cast<uint8_t*>(packed));
#else
  pack_pairs(x.codes.get(), x.stride, x.tokens, cols, begin, end, packed);
#endif
}

// c [rows, group] += the products of `rows` rows of a with one token group.
template <int kRows>
HWY_INLINE void add_products(const RowCode* a, int64_t stride, const Code* b, int64_t steps,
                             int32_t* c) {
  const PairSums d32;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d32));
  hn::Vec<PairSums> sum0[kRows], sum1[kRows];
#if HWY_TARGET == HWY_AVX3_DL
  multiply_quads<kRows>(a, stride, b, steps, sum0, sum1);
#else
  multiply_pairs<kRows>(a, stride, b, steps, sum0, sum1);
#endif
  HWY_UNROLL(12)
  for (int r = 0; r < kRows; ++r, c += 2 * lanes) {
    hn::Store(hn::Add(sum0[r], hn::Load(d32, c)), d32, c);
    hn::Store(hn::Add(sum1[r], hn::Load(d32, c + lanes)), d32, c + lanes);
  }
}

// sums [groups, rows, group] of the exact products.
void multiply_codes(const WeightView& weight, const int16_t* packed, RowRange range,
                    int64_t first_group, int64_t groups, int32_t* sums) {
  const int64_t group = tile_columns(), rows = range.end - range.begin;
  const int64_t cols = weight.cols, all_steps = (cols + kStepColumns - 1) / kStepColumns;
  const int64_t stretch = stretch_steps() * kStepColumns;
  const Code* codes = reinterpret_cast<const Code*>(packed);
  const auto tile = hwy::AllocateAligned<RowCode>(static_cast<size_t>(rows * stretch));
  std::vector<int32_t> row_sums(static_cast<size_t>(rows), 0);
  std::fill_n(sums, groups * rows * group, 0);
  for (int64_t s = 0; s < all_steps; s += stretch_steps()) {
    const int64_t steps = std::min(stretch_steps(), all_steps - s);
    const int64_t count = std::min(steps * kStepColumns, cols - s * kStepColumns);
    for (int64_t r = 0; r < rows; ++r) {
      const int8_t* from =
          static_cast<const int8_t*>(weight.elements) + (range.begin + r) * cols + s * kStepColumns;
      RowCode* to = tile.get() + r * stretch;
      int32_t sum = 0;
      for (int64_t k = 0; k < count; ++k) {
        to[k] = from[k];
        sum += from[k];
      }
      std::fill(to + count, to + steps * kStepColumns, RowCode{0});
      row_sums[static_cast<size_t>(r)] += sum;
    }
    for (int64_t g = 0; g < groups; ++g) {
      const Code* b = codes + ((first_group + g) * all_steps + s) * kStepColumns * group;
      int32_t* c = sums + g * rows * group;
      int64_t r = 0;
      for (; r + kPairRows <= rows; r += kPairRows) {
        add_products<kPairRows>(tile.get() + r * stretch, stretch, b, steps, c + r * group);
      }
      for (; r < rows; ++r)
        add_products<1>(tile.get() + r * stretch, stretch, b, steps, c + r * group);
    }
  }
  if constexpr (kOffset != 0) {
    for (int64_t i = 0; i < groups * rows; ++i) {
      const auto excess = static_cast<int32_t>(kOffset * row_sums[static_cast<size_t>(i % rows)]);
      for (int64_t lane = 0; lane < group; ++lane) sums[i * group + lane] -= excess;
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
  multiply_codes(weight, packed.codes, range, first_group, groups, sums.get());
  hwy::AlignedFreeUniquePtr<float[]> outlier_sums;
  if (outliers > 0) {
    outlier_sums = hwy::AllocateAligned<float>(size);
    multiply_outliers(weight, x.outlier_columns, packed.outliers + first_group * outliers * group,
                      range, groups, outlier_sums.get());
  }
  const hn::ScalableTag<float> d;
  const PairSums d32;
  store_panel(args, weight.rows, range, token_begin, token_end, [&](int64_t r, int64_t t) HWY_ATTR {
    const int64_t at = at_panel(rows, r, t);
    const float absmax = weight.row_absmax[range.begin + r];
    const auto scale = hn::Mul(hn::LoadU(d, x.absmax.data() + token_begin + t), hn::Set(d, absmax));
    const auto codes = hn::Mul(hn::Mul(hn::ConvertTo(d, hn::Load(d32, sums.get() + at)), scale),
                               hn::Set(d, kInverseInt8MaxSquared));
    if (outliers == 0) return codes;
    return hn::Add(codes,
                   hn::Mul(hn::Load(d, outlier_sums.get() + at), hn::Set(d, absmax / kInt8Max)));
  });
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
