// SPDX-License-Identifier: Apache-2.0
//
// Panels of rows as block_gemm.cc multiplies them: decoded to int16, or to int8 for int8
// activations where the processor multiplies bytes, over one stretch of columns that stays in
// cache.
#if defined(NIBBLE_CPU_BLOCK_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_BLOCK_TILES_INL_H_
#undef NIBBLE_CPU_BLOCK_TILES_INL_H_
#else
#define NIBBLE_CPU_BLOCK_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "nibble/backend/cpu/block_scales.h"
#include "nibble/backend/cpu/code_pairs-inl.h"
#include "nibble/backend/cpu/linear_kernels.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"

// Shared by all targets, so outside their namespaces and defined once.
#ifndef NIBBLE_CPU_BLOCK_GEMM_LIMIT_
#define NIBBLE_CPU_BLOCK_GEMM_LIMIT_
namespace nibble::cpu {
// An int32 lane holds the products of all columns of a group: value * sum of |x| < 2^31. Values of
// a codebook are off by at most 2^-14 of the largest; int8 codes are exact and leave all to x.
constexpr int32_t kValueLimit = 8191, kActivationLimit = 32767;
constexpr int64_t kActivationSum = (int64_t{1} << 31) / 8192;
}  // namespace nibble::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How 4-bit codes meet int8 activations: as bytes, by fours, where the processor multiplies those.
#if HWY_TARGET == HWY_AVX3_DL
constexpr BlockOrder kInt8Order = BlockOrder::kHalves;
#else
constexpr BlockOrder kInt8Order = BlockOrder::kCodes;
#endif

#if HWY_TARGET != HWY_SCALAR

// Columns per stretch: 512 x 16 int16 of x are 16 KiB of a 32 KiB L1.
constexpr int64_t kStretchColumns = HWY_TARGET <= HWY_AVX3 ? 256 : 512;

// A panel of rows, looked up over one stretch of columns.
struct CodeTile {
  using Value = int16_t;
  using X = int16_t;
  const int16_t* values;  // [rows, kStretchColumns]
  const float* absmax;    // [rows, groups of a stretch]
  const int32_t* shifts;  // [rows, groups of a stretch], ByteTile only
  int64_t groups;         // in this stretch

  // The products of group g of kRows rows with x, two vectors of tokens.
  template <int kRows>
  HWY_INLINE void multiply(int64_t row, int64_t g, int64_t group, const int16_t* HWY_RESTRICT x,
                           hn::Vec<PairSums>* sum0, hn::Vec<PairSums>* sum1) const {
    multiply_pairs<kRows>(values + row * kStretchColumns + g * group, kStretchColumns,
                          x + g * group * tile_columns(), group / 2, sum0, sum1);
  }
};

#if HWY_TARGET == HWY_AVX3_DL
// The same in bytes. Those of x are code + 128, which adds 128 times the sum of the row's values:
// the shift of each group.
struct ByteTile {
  using Value = int8_t;
  using X = uint8_t;
  const int8_t* values;
  const float* absmax;
  const int32_t* shifts;
  int64_t groups;

  template <int kRows>
  HWY_INLINE void multiply(int64_t row, int64_t g, int64_t group, const uint8_t* HWY_RESTRICT x,
                           hn::Vec<PairSums>* sum0, hn::Vec<PairSums>* sum1) const {
    const PairSums d32;
    const int8_t* from = values + row * kStretchColumns + g * group;
    multiply_quads<kRows>(from, kStretchColumns, x + g * group * tile_columns(), group / 4, sum0,
                          sum1);
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      const auto shift = hn::Set(d32, shifts[(row + r) * (kStretchColumns / group) + g]);
      sum0[r] = hn::Sub(sum0[r], shift);
      sum1[r] = hn::Sub(sum1[r], shift);
    }
  }
};
#endif

// The absmax of each group of elements [element, element + count).
HWY_INLINE void group_absmax(const CodeBlockView& block, int64_t element, int64_t count,
                             std::vector<float>& scratch, float* absmax) {
  const int64_t first = element / block.block_size;
  const int64_t blocks = (element + count - 1) / block.block_size - first + 1;
  const float* from = absmax_of(block, first, blocks, scratch);
  for (int64_t i = 0; i < count; i += code_group()) {
    *absmax++ = from[(element + i) / block.block_size - first];
  }
}

// The rows of a weight in the form of a tile: decode() gives columns [k, k + count) of one, and the
// absmax and shift of each group, unit() the factor of its sums.
class CodeRows {
 public:
  using Tile = CodeTile;

  explicit CodeRows(const WeightView& weight)
      : weight_(weight),
        limit_(static_cast<float>(value_limit(
            weight.block, weight.activations_are_int8 ? kInt8ValueLimit : kValueLimit))),
        table_(weight.block.codebook, weight.block.largest, limit_) {}

  float unit(int64_t) const { return weight_.block.largest / limit_; }

  void decode(int64_t row, int64_t k, int64_t count, int16_t* HWY_RESTRICT values, float* absmax,
              int32_t*) {
    const CodeBytes d8;
    const CodePairs::D16 d16;
    const size_t lanes = hn::Lanes(d16);
    const CodeBlockView& block = weight_.block;
    const int64_t element = row * weight_.cols + k, group = code_group();
    for (int64_t i = 0; i < count; i += group) {
      const CodePairs::Values v = table_.look_up(hn::LoadU(d8, block.codes + (element + i) / 2));
      hn::Store(v.even0, d16, values + i);
      hn::Store(v.even1, d16, values + i + lanes);
      hn::Store(v.odd0, d16, values + i + 2 * lanes);
      hn::Store(v.odd1, d16, values + i + 3 * lanes);
    }
    group_absmax(block, element, count, scratch_, absmax);
  }

 private:
  const WeightView& weight_;
  const float limit_;
  const CodePairs table_;
  std::vector<float> scratch_;
};

#if HWY_TARGET == HWY_AVX3_DL
// For int8 activations.
class ByteRows {
 public:
  using Tile = ByteTile;

  explicit ByteRows(const WeightView& weight)
      : weight_(weight), limit_(static_cast<float>(value_limit(weight.block, kInt8ValueLimit))) {
    alignas(16) uint8_t values[16];
    for (int code = 0; code < 16; ++code) {
      const float value = weight.block.codebook[code] * (limit_ / weight.block.largest);
      values[code] = static_cast<uint8_t>(weight.block.largest > 0.0f ? std::lrint(value) : 0);
    }
    table_ = hn::LoadDup128(CodeBytes(), values);
  }

  float unit(int64_t) const { return weight_.block.largest / limit_; }

  void decode(int64_t row, int64_t k, int64_t count, int8_t* HWY_RESTRICT values, float* absmax,
              int32_t* shifts) {
    const CodeBytes d8;
    const hn::Repartition<uint8_t, PairSums> x8;
    const CodeBlockView& block = weight_.block;
    const int64_t element = row * weight_.cols + k, group = code_group();
    for (int64_t i = 0; i < count; i += group) {
      const auto codes = hn::LoadU(d8, block.codes + (element + i) / 2);
      auto* to = reinterpret_cast<uint8_t*>(values + i);
      hn::Store(hn::TableLookupBytes(table_, hn::ShiftRight<4>(codes)), d8, to);
      hn::Store(hn::TableLookupBytes(table_, hn::And(codes, hn::Set(d8, uint8_t{15}))), d8,
                to + group / 2);
      const auto w = hn::Load(hn::Repartition<int8_t, PairSums>(), values + i);
      const auto sums = add_products_of_4(hn::Set(x8, uint8_t{128}), w, hn::Zero(PairSums()));
      *shifts++ = hn::GetLane(hn::SumOfLanes(PairSums(), sums));
    }
    group_absmax(block, element, count, scratch_, absmax);
  }

 private:
  const WeightView& weight_;
  const float limit_;
  hn::Vec<CodeBytes> table_;
  std::vector<float> scratch_;
};
#endif

class Int8Rows {
 public:
  using Tile = CodeTile;

  explicit Int8Rows(const WeightView& weight) : weight_(weight) {}

  float unit(int64_t row) const { return weight_.row_absmax[row] / kInt8Max; }

  void decode(int64_t row, int64_t k, int64_t count, int16_t* HWY_RESTRICT values, float* absmax,
              int32_t*) {
    const int8_t* from = static_cast<const int8_t*>(weight_.elements) + row * weight_.cols + k;
    std::copy_n(from, count, values);
    std::fill_n(absmax, count / code_group(), 1.0f);
  }

 private:
  const WeightView& weight_;
};

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
