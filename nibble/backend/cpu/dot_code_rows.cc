// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times rows of 4-bit codes, looked up in registers as int16 and multiplied with x in
// int16 (block_activations.h). A group is one vector of bytes, 64 (or 32) elements; its exact
// integer sum becomes a float once, times the scale of x and the absmax of the block.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nibble/backend/cpu/block_activations.h"
#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_code_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/code_pairs-inl.h"
#include "nibble/backend/cpu/micro_pairs-inl.h"

// Shared by all targets, so outside their namespaces and defined once.
#ifndef NIBBLE_CPU_DOT_CODE_ROWS_LIMITS_
#define NIBBLE_CPU_DOT_CODE_ROWS_LIMITS_
namespace nibble::cpu {
// Eight products of a value and an x are summed in an int32 lane: 8 * 16383^2 < 2^31.
constexpr int32_t kDotValueLimit = 16383, kDotActivationLimit = 16383;
}  // namespace nibble::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// No byte shuffles: every shape goes through dot_decoded_rows.
constexpr BlockOrder kOrder = BlockOrder::kCodes;
void DotCodeRows(const WeightView&, const BlockActivations&, const LinearArgs&, RowRange) {}

#else

// One weight row and the tokens that it meets.
struct CodeRow {
  const uint8_t* codes;
  const float* absmax;    // of the block that holds the row's first element, and on
  int64_t first_element;  // of the row, in the matrix
  int64_t groups;         // per row
};

#if HWY_TARGET <= HWY_AVX3

constexpr BlockOrder kOrder = BlockOrder::kWords;

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

// The absmax of each lane of the sums of one (d256) or two groups, from that of the first on. One
// block holds a whole group, or half of one.
template <bool kHalfBlocks, class D>
HWY_INLINE hn::Vec<D> absmax_lanes(D d, const float* absmax, bool second_is_next) {
  if constexpr (kHalfBlocks) {
    auto lanes = hn::Set(d, absmax[0]);
    HWY_UNROLL(3)
    for (size_t i = 1; i < hn::MaxLanes(d) / 4; ++i) {
      lanes = hn::IfThenElse(hn::FirstN(d, 4 * i), lanes, hn::Set(d, absmax[i]));
    }
    return lanes;
  }
  if (hn::MaxLanes(d) == 8) return hn::Set(d, absmax[0]);
  return hn::IfThenElse(hn::FirstN(d, 8), hn::Set(d, absmax[0]),
                        hn::Set(d, absmax[second_is_next ? 1 : 0]));
}

// sums[t] = row . x[t] for kTokens consecutive tokens.
template <int kTokens, bool kHalfBlocks>
HWY_INLINE void dot_row(const CodeTable& table, const CodeRow& row, int64_t groups_per_block,
                        const int16_t* HWY_RESTRICT x, const float* HWY_RESTRICT x_scales,
                        float* HWY_RESTRICT sums) {
  constexpr int64_t kGroup = 64, kBytes = kGroup / 2;
  const int64_t cols = row.groups * kGroup;
  const float* HWY_RESTRICT absmax = row.absmax;
  // Groups up to the end of the block that holds the next one.
  int64_t left = groups_per_block - row.first_element / kGroup % groups_per_block;
  const auto advance = [&] {  // past a group
    if constexpr (kHalfBlocks) {
      absmax += 2;
    } else if (--left == 0) {
      left = groups_per_block;
      ++absmax;
    }
  };
  // Adds the products of one or two groups from g on.
  const auto add = [&](auto d, int64_t g, hn::Vec<decltype(d)>* total) HWY_ATTR {
    const hn::RepartitionToNarrow<hn::RebindToSigned<decltype(d)>> d16;
    const hn::RebindToUnsigned<decltype(d16)> u16;
    constexpr bool kTwo = hn::MaxLanes(d) == 16;
    const auto codes = hn::BitCast(
        u16, hn::LoadU(hn::Repartition<uint8_t, decltype(u16)>(), row.codes + g * kBytes));
    prefetch(row.codes + g * kBytes, kCodesPrefetch);
    // Of a lane's four codes the second element is the lowest: the high nibble of a byte is first.
    const auto w0 = table.look_up(hn::ShiftRight<4>(codes)), w1 = table.look_up(codes);
    const auto w2 = table.look_up(hn::ShiftRight<12>(codes));
    const auto w3 = table.look_up(hn::ShiftRight<8>(codes));
    const auto scale = absmax_lanes<kHalfBlocks>(d, absmax, left == 1);
    const int64_t step = static_cast<int64_t>(hn::MaxLanes(d16));
    HWY_UNROLL(4)
    for (int t = 0; t < kTokens; ++t) {
      const int16_t* from = x + t * cols + g * kGroup;
      const float* of_x = x_scales + t * row.groups + g;
      auto sum = hn::Zero(hn::RebindToSigned<decltype(d)>());
      sum = add_word_products(w0, hn::LoadU(d16, from), sum);
      sum = add_word_products(w1, hn::LoadU(d16, from + step), sum);
      sum = add_word_products(w2, hn::LoadU(d16, from + 2 * step), sum);
      sum = add_word_products(w3, hn::LoadU(d16, from + 3 * step), sum);
      auto x_scale = hn::Set(d, of_x[0]);
      if constexpr (kTwo) x_scale = hn::IfThenElse(hn::FirstN(d, 8), x_scale, hn::Set(d, of_x[1]));
      total[t] = hn::MulAdd(hn::Mul(hn::ConvertTo(d, sum), x_scale), scale, total[t]);
    }
  };
  const hn::Full512<float> d512;
  const hn::Full256<float> d256;
  hn::Vec512<float> total[kTokens];
  hn::Vec256<float> rest[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    total[t] = hn::Zero(d512);
    rest[t] = hn::Zero(d256);
  }
  int64_t g = 0;
  for (; g + 2 <= row.groups; g += 2) {
    add(d512, g, total);
    advance();
    advance();
  }
  if (g < row.groups) add(d256, g, rest);
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    sums[t] =
        hn::GetLane(hn::SumOfLanes(d512, total[t])) + hn::GetLane(hn::SumOfLanes(d256, rest[t]));
  }
}

#else  // HWY_TARGET <= HWY_AVX3

constexpr BlockOrder kOrder = BlockOrder::kCodes;
using CodeTable = CodePairs;
using Sums = hn::Repartition<int32_t, CodeBytes>;
using Floats = hn::Repartition<float, CodeBytes>;

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

// sums[t] = row . x[t] for kTokens consecutive tokens. kHalfBlocks: one block per 16 bytes of
// codes, two in a group of 64.
template <int kTokens, bool kHalfBlocks>
HWY_INLINE void dot_row(const CodePairs& table, const CodeRow& row, int64_t groups_per_block,
                        const int16_t* HWY_RESTRICT x, const float* HWY_RESTRICT x_scales,
                        float* HWY_RESTRICT sums) {
  const CodeBytes d8;
  const Floats d;
  const int64_t bytes = static_cast<int64_t>(hn::Lanes(d8)), group = 2 * bytes;
  const int64_t cols = row.groups * group;
  const uint8_t* HWY_RESTRICT codes = row.codes;
  const float* HWY_RESTRICT absmax = row.absmax;
  hn::Vec<Floats> total[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) total[t] = hn::Zero(d);
  // Groups up to the end of the block that holds the row's first.
  int64_t left = groups_per_block - row.first_element / group % groups_per_block;
  for (int64_t g = 0; g < row.groups;) {
    auto scale = hn::Set(d, absmax[0]);
    int64_t stop = g + 1;
    if constexpr (kHalfBlocks) {
      scale = hn::IfThenElse(hn::FirstN(d, hn::Lanes(d) / 2), scale, hn::Set(d, absmax[1]));
      absmax += 2;
    } else {
      stop = HWY_MIN(g + left, row.groups);
      left = groups_per_block;
      ++absmax;
    }
    for (; g < stop; ++g) {
      prefetch(codes + g * bytes, kCodesPrefetch);
      const CodePairs::Values values = table.look_up(hn::LoadU(d8, codes + g * bytes));
      HWY_UNROLL(4)
      for (int t = 0; t < kTokens; ++t) {
        const auto product = group_product(values, x + t * cols + g * group);
        const auto x_scale = hn::Set(d, x_scales[t * row.groups + g]);
        total[t] = hn::MulAdd(hn::Mul(product, x_scale), scale, total[t]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) sums[t] = hn::GetLane(hn::SumOfLanes(d, total[t]));
}

#endif  // HWY_TARGET <= HWY_AVX3

template <bool kHalfBlocks>
void dot_rows_of(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                 RowRange range) {
  if (range.begin >= range.end) return;
  const CodeBlockView& block = weight.block;
  const CodeTable table(block.codebook, block.largest, kDotValueLimit);
  const float unit = block.largest / kDotValueLimit;
  const int64_t cols = weight.cols, group = code_group();
  const int64_t groups = cols / group;
  const int64_t groups_per_block = std::max<int64_t>(1, block.block_size / group);
  const int64_t first = range.begin * cols / block.block_size;
  const int64_t last = (range.end * cols - 1) / block.block_size;
  std::vector<float> scratch;
  const float* all_absmax = absmax_of(block, first, last - first + 1, scratch);
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t element = row * cols;
    const CodeRow code_row{.codes = block.codes + element / 2,
                           .absmax = all_absmax + (element / block.block_size - first),
                           .first_element = element,
                           .groups = groups};
    const float bias = args.bias ? args.bias[row] : 0.0f;
    float sums[4];
    for (int64_t t = 0; t < x.tokens;) {
      const int64_t left = x.tokens - t, step = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      const int16_t* codes = x.codes.get() + t * cols;
      const float* scales = x.scales.get() + t * groups;
      const auto run = [&]<int kTokens>() {
        dot_row<kTokens, kHalfBlocks>(table, code_row, groups_per_block, codes, scales, sums);
      };
      if (step == 4) run.template operator()<4>();
      if (step == 2) run.template operator()<2>();
      if (step == 1) run.template operator()<1>();
      for (int64_t i = 0; i < step; ++i, ++t) args.y[t * weight.rows + row] = sums[i] * unit + bias;
    }
  }
}

void DotCodeRows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                 RowRange range) {
  if (weight.block.block_size < code_group()) return dot_rows_of<true>(weight, x, args, range);
  dot_rows_of<false>(weight, x, args, range);
}

#endif  // HWY_TARGET == HWY_SCALAR

BlockOrder OrderOfCodeRows() { return kOrder; }

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(DotCodeRows);
HWY_EXPORT(OrderOfCodeRows);

bool can_dot_code_rows(const WeightView& weight) {
  const int64_t group = code_group();
  if (group == 0 || weight.cols == 0 || weight.cols % group != 0) return false;
  if (!(weight.block.largest <= std::numeric_limits<float>::max())) return false;
  // Groups begin at multiples of `group`, so a block that is a multiple of it never ends inside
  // one, wherever rows begin.
  return weight.block.block_size % group == 0 || weight.block.block_size * 2 == group;
}

BlockActivations quantize_for_code_rows(ThreadPool& pool, BufferCache& buffers,
                                        const LinearArgs& args, int64_t cols) {
  return quantize_blocks(pool, buffers, args.x, args.tokens, cols,
                         {.magnitude = kDotActivationLimit},
                         HWY_DYNAMIC_DISPATCH(OrderOfCodeRows)());
}

void dot_code_rows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                   RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotCodeRows)(weight, x, args, range);
}
}  // namespace nibble::cpu
#endif
