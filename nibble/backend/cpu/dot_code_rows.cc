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
#include "nibble/backend/cpu/block_scales.h"
#include "nibble/backend/cpu/code_cursor.h"
#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_code_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/block_offsets-inl.h"
#include "nibble/backend/cpu/code_pairs-inl.h"
#include "nibble/backend/cpu/dot_code_words-inl.h"
#include "nibble/backend/cpu/lane_sums-inl.h"
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

#if HWY_TARGET <= HWY_AVX3

constexpr BlockOrder kOrder = BlockOrder::kWords;

constexpr int64_t kLargestPart = kWordsPart;
constexpr int kRowsTogether = 2;
using TotalLanes = hn::Full512<float>;

#else  // HWY_TARGET <= HWY_AVX3

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

#endif  // HWY_TARGET <= HWY_AVX3

// What the offsets of a row's blocks add to its product with token t.
HWY_INLINE float offset_product(const CodeBlockView& block, int64_t row, int64_t cols,
                                const float* HWY_RESTRICT sums, int64_t t) {
  const int64_t blocks = cols / block.block_size;
  sums += t * blocks;
  const auto product = [&](const auto* scales, const auto* zeros) HWY_ATTR {
    const auto add = [&](auto d, int64_t i, auto total) HWY_ATTR {
      const auto offset = offsets_of(d, scales + i, zeros + i, block.zero_form);
      return hn::MulAdd(offset, hn::LoadU(d, sums + i), total);
    };
    const hn::CappedTag<float, 8> d;
    const hn::CappedTag<float, 1> d1;
    const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
    auto total = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= blocks; i += lanes) total = add(d, i, total);
    auto rest = hn::Set(d1, hn::GetLane(hn::SumOfLanes(d, total)));
    for (; i < blocks; ++i) rest = add(d1, i, rest);
    return hn::GetLane(rest);
  };
  return with_scales(block, row * blocks, product);
}

// Parts of tokens are the outer loop, so that a part stays in the first-level cache: a range's
// codes are small enough for the second one (linear_split.h).
template <BlockSpan kSpan>
void dot_range(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
               RowRange range) {
  if (range.begin >= range.end) return;
  const CodeBlockView& block = weight.block;
  const int32_t limit =
      value_limit(block, weight.activations_are_int8 ? kInt8ValueLimit : kDotValueLimit);
  const CodeTable table(block.codebook, block.largest, static_cast<float>(limit));
  const float unit = block.largest / static_cast<float>(limit);
  const int64_t cols = weight.cols, group = code_group();
  const CodeRows rows = {.scale_dtype = is_narrow(kSpan) ? block.scale_dtype : DType::kF32,
                         .groups = cols / group,
                         .groups_per_block = std::max<int64_t>(1, block.block_size / group),
                         .group_bytes = group / 2};
  const int64_t first = range.begin * cols / block.block_size;
  const int64_t last = (range.end * cols - 1) / block.block_size;
  std::vector<float> scratch;
  const void* absmax = static_cast<const uint16_t*>(block.absmax) + first;
  if constexpr (!is_narrow(kSpan)) absmax = absmax_of(block, first, last - first + 1, scratch);
  const CodeCursor begin = {
      .codes = block.codes + range.begin * cols / 2,
      .absmax = static_cast<const char*>(absmax),
      .left = rows.groups_per_block - range.begin * rows.groups % rows.groups_per_block};
  // `count` groups of columns from group `from` on, of kTokens tokens and kSteps times kRows rows,
  // the first at `at`, which moves to the row behind them.
  const auto multiply = [&]<int kRows, int kTokens, int kSteps>(
                            CodeCursor& at, int64_t row, int64_t t, int64_t from, int64_t count) {
    constexpr TotalLanes d;
    constexpr int kSums = kRows * kTokens, kLanes = static_cast<int>(hn::MaxLanes(d));
    alignas(64) float lanes[kSteps * kSums * kLanes];
    const int64_t before = from * (kOrder == BlockOrder::kWords ? kTokens : 1);
    for (int step = 0; step < kSteps; ++step) {
      CodeCursor cursors[kRows] = {at};
      for (int r = 1; r < kRows; ++r) cursors[r] = cursors[r - 1].ahead(kSpan, rows, rows.groups);
      dot_rows<kRows, kTokens, kSpan>(table, rows, count, cursors,
                                      x.codes.get() + t * cols + before * group,
                                      x.scales.get() + (t * rows.groups + before) * x.scale_lanes,
                                      lanes + step * kSums * kLanes);
      at = cursors[kRows - 1];
      if (count < rows.groups) at = at.ahead(kSpan, rows, rows.groups - count);
    }
    float sums[(kSteps * kSums + 3) / 4 * 4];
    sum_lanes<kSteps * kSums>(d, lanes, sums);
    for (int r = 0; r < kSteps * kRows; ++r) {
      const float bias = args.bias ? args.bias[row + r] : 0.0f;
      for (int i = 0; i < kTokens; ++i) {
        float& y = args.y[(t + i) * weight.rows + row + r];
        const float sum = sums[r * kTokens + i] * unit;
        if (from > 0) {
          y += sum;
          continue;
        }
        y = sum + bias;
        if (block.zeros) y += offset_product(block, row + r, cols, x.sums.get(), t + i);
      }
    }
  };
  // All rows, for as many columns as the x of kTokens tokens stay in the first-level cache with.
  const auto multiply_part = [&]<int kTokens>(int64_t t) {
    constexpr int64_t kStretchBytes = 32 << 10;
    // One token takes single rows, as they lie in memory, but sums up the lanes of four together.
    constexpr int kRows = kTokens > 1 ? kRowsTogether : 1, kSteps = kTokens > 1 ? 1 : 4;
    const int64_t stretch = kStretchBytes / (kTokens * group * int64_t{sizeof(int16_t)});
    for (int64_t from = 0; from < rows.groups; from += stretch) {
      const int64_t count = std::min(stretch, rows.groups - from);
      CodeCursor at = begin.ahead(kSpan, rows, from);
      int64_t row = range.begin;
      for (; row + kRows * kSteps <= range.end; row += kRows * kSteps) {
        multiply.template operator()<kRows, kTokens, kSteps>(at, row, t, from, count);
      }
      for (; row < range.end; ++row) {
        multiply.template operator()<1, kTokens, 1>(at, row, t, from, count);
      }
    }
  };
  for (int64_t t = 0; t < x.tokens;) {
    const int64_t step = tokens_of_part(x.tokens - t, kLargestPart);
    if constexpr (kLargestPart == 8) {
      if (step == 8) multiply_part.template operator()<8>(t);
    }
    if (step == 4) multiply_part.template operator()<4>(t);
    if (step == 2) multiply_part.template operator()<2>(t);
    if (step == 1) multiply_part.template operator()<1>(t);
    t += step;
  }
}

void DotCodeRows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                 RowRange range) {
  const int64_t size = weight.block.block_size, group = code_group();
  const auto run = [&]<BlockSpan kSpan>() { dot_range<kSpan>(weight, x, args, range); };
  if (size < group) return run.template operator()<BlockSpan::kHalfGroup>();
  if (!weight.block.absmax || weight.block.scale_dtype == DType::kF32) {
    return run.template operator()<BlockSpan::kGroups>();
  }
  if (size == group) return run.template operator()<BlockSpan::kNarrowGroup>();
  run.template operator()<BlockSpan::kNarrowGroups>();
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
  if (!weight.block.codes || group == 0 || weight.cols == 0 || weight.cols % group != 0)
    return false;
  if (!(weight.block.largest <= std::numeric_limits<float>::max())) return false;
  // Groups begin at multiples of `group`, so a block that is a multiple of it never ends inside
  // one, wherever rows begin.
  return weight.block.block_size % group == 0 || weight.block.block_size * 2 == group;
}

BlockActivations quantize_for_code_rows(ThreadPool& pool, BufferCache& buffers,
                                        const WeightView& weight, const LinearArgs& args) {
  BlockForm form;
  form.limits = limits_of(weight, {.magnitude = kDotActivationLimit});
  form.order = HWY_DYNAMIC_DISPATCH(OrderOfCodeRows)();
  form.odd_first = weight.block.low_nibble_first;
  if (weight.block.zeros) form.sum_columns = weight.block.block_size;
  return quantize_blocks(pool, buffers, args.x, args.tokens, weight.cols, form);
}

void dot_code_rows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                   RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotCodeRows)(weight, x, args, range);
}
}  // namespace nibble::cpu
#endif
