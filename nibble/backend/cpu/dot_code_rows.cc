// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times rows of 4-bit codes, looked up in registers as int16 and multiplied with x in
// int16 (block_activations.h). A group is one vector of bytes, 64 (or 32) elements; its exact
// integer sum becomes a float once, times the scale of x and the absmax of the block. The product
// of a row is in dot_code_words-inl.h for AVX-512, in dot_code_pairs-inl.h for the others.
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
#include "nibble/backend/cpu/dot_code_pairs-inl.h"
#include "nibble/backend/cpu/dot_code_words-inl.h"
#include "nibble/backend/cpu/group_absmax-inl.h"
#include "nibble/backend/cpu/lane_sums-inl.h"

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

// The offsets of `count` blocks from block `first` on, times `factor`. Whether any is not zero:
// those of symmetric codes are.
HWY_INLINE bool make_offsets(const CodeBlockView& block, int64_t first, int64_t count, float factor,
                             float* HWY_RESTRICT out) {
  return with_scales(block, first, [&](const auto* scales, const auto* zeros) HWY_ATTR {
    const auto make = [&](auto d, int64_t i) HWY_ATTR {
      const auto offset = offsets_of(d, scales + i, zeros + i, block.zero_form);
      hn::StoreU(hn::Mul(offset, hn::Set(d, factor)), d, out + i);
      return !hn::AllTrue(d, hn::Eq(offset, hn::Zero(d)));
    };
    const TotalLanes d;
    const int64_t width = static_cast<int64_t>(hn::Lanes(d));
    bool any = false;
    int64_t i = 0;
    for (; i + width <= count; i += width) any |= make(d, i);
    for (; i < count; ++i) any |= make(hn::CappedTag<float, 1>(), i);
    return any;
  });
}

// The products of `count` offsets and sums of x, over all lanes.
HWY_INLINE hn::Vec<TotalLanes> offset_products(const float* HWY_RESTRICT offsets,
                                               const float* HWY_RESTRICT sums, int64_t count) {
  const TotalLanes d;
  const int64_t width = static_cast<int64_t>(hn::Lanes(d));
  auto total = hn::Zero(d);
  int64_t i = 0;
  for (; i + width <= count; i += width) {
    total = hn::MulAdd(hn::LoadU(d, offsets + i), hn::LoadU(d, sums + i), total);
  }
  if (i == count) return total;
#if HWY_TARGET <= HWY_AVX2  // whose masked loads read only what they give, from anywhere
  const auto rest = hn::FirstN(d, static_cast<size_t>(count - i));
  return hn::MulAdd(hn::MaskedLoad(rest, d, offsets + i), hn::MaskedLoad(rest, d, sums + i), total);
#else
  float rest = 0.0f;
  for (; i < count; ++i) rest += offsets[i] * sums[i];
  return hn::Add(total, hn::IfThenElseZero(hn::FirstN(d, 1), hn::Set(d, rest)));
#endif
}

// A range of rows times all tokens.
template <BlockSpan kSpan>
class RangeProduct {
 public:
  HWY_INLINE RangeProduct(const WeightView& weight, const BlockActivations& x,
                          const LinearArgs& args, RowRange range)
      : weight_(weight),
        x_(x),
        args_(args),
        range_(range),
        limit_(value_limit(weight.block,
                           weight.activations_are_int8 ? kInt8ValueLimit : kDotValueLimit)),
        table_(weight.block.codebook, weight.block.largest, static_cast<float>(limit_)),
        unit_(weight.block.largest / static_cast<float>(limit_)) {
    const int64_t group = code_group();
    rows_ = {
        .scale_dtype = kSpan == BlockSpan::kNarrowGroup ? weight.block.scale_dtype : DType::kF32,
        .groups = weight.cols / group,
        .group_bytes = group / 2,
        .group_absmax = kSpan == BlockSpan::kHalfGroup ? 2 : 1};
  }

  // One token takes as many rows at once as keep what is made of their blocks in the first-level
  // cache; several take all, so that what stays there is a part of x.
  HWY_INLINE void run() {
    constexpr int64_t kBytesAtOnce = 16 << 10;  // of codes
    const int64_t row_bytes = rows_.groups * rows_.group_bytes;
    const int64_t some = std::max<int64_t>(1, kBytesAtOnce / row_bytes / 4) * 4;
    const bool makes = kSpan != BlockSpan::kNarrowGroup || weight_.block.zeros;
    const int64_t step = makes && x_.tokens == 1 ? some : range_.end - range_.begin;
    for (int64_t row = range_.begin; row < range_.end; row += step) {
      now_ = {row, std::min(row + step, range_.end)};
      prefetch_blocks({now_.end, std::min(now_.end + step, range_.end)});
      prepare();
      multiply_rows();
    }
  }

 private:
  // Parts of tokens are the outer loop, so that a part stays in the first-level cache: a range's
  // codes are small enough for the second one (linear_split.h).
  HWY_INLINE void multiply_rows() const {
    for (int64_t t = 0; t < x_.tokens;) {
      const int64_t step = tokens_of_part(x_.tokens - t, kLargestPart);
      if constexpr (kLargestPart == 8) {
        if (step == 8) multiply_part<8>(t);
      }
      if (step == 4) multiply_part<4>(t);
      if (step == 2) multiply_part<2>(t);
      if (step == 1) multiply_part<1>(t);
      t += step;
    }
  }

  HWY_INLINE int64_t first_block(int64_t row) const {
    return row * weight_.cols / weight_.block.block_size;
  }
  HWY_INLINE int64_t end_of_blocks(int64_t row) const {
    return (row * weight_.cols - 1) / weight_.block.block_size + 1;
  }

  // What prepare() will read of these rows. What multiply() reads itself comes in order.
  HWY_INLINE void prefetch_blocks(RowRange rows) const {
    const CodeBlockView& block = weight_.block;
    const int64_t begin = first_block(rows.begin), end = end_of_blocks(rows.end);
    const auto all = [&](const void* from, int64_t size) HWY_ATTR {
      for (int64_t at = begin * size; at < end * size; at += 64) prefetch(from, at);
    };
    if (block.absmax) all(block.absmax, size_of(block.scale_dtype));
    if (block.zeros) all(block.zeros, size_of(block.scale_dtype));
    if (block.nested_codes) all(block.nested_codes, 1);
  }

  HWY_INLINE void prepare() {
    const CodeBlockView& block = weight_.block;
    begin_ = {.codes = block.codes + now_.begin * weight_.cols / 2, .absmax = absmax_of_rows()};
    has_offsets_ = false;
    if (!block.zeros) return;
    const int64_t first = first_block(now_.begin), count = first_block(now_.end) - first;
    offsets_.resize(std::max(offsets_.size(), static_cast<size_t>(count)));
    has_offsets_ = make_offsets(block, first, count, 1.0f / unit_, offsets_.data());
  }

  // The absmax of the rows, as kSpan has it.
  HWY_INLINE const char* absmax_of_rows() {
    const CodeBlockView& block = weight_.block;
    const int64_t group = code_group(), size = block.block_size, first = first_block(now_.begin);
    if (kSpan == BlockSpan::kNarrowGroup) {
      return static_cast<const char*>(block.absmax) + first * size_of(block.scale_dtype);
    }
    const float* blocks = absmax_of(block, first, end_of_blocks(now_.end) - first, of_blocks_);
    if (size <= group) return reinterpret_cast<const char*>(blocks);
    const int64_t span = size / group, begin = now_.begin * rows_.groups - first * span;
    const int64_t count = (now_.end - now_.begin) * rows_.groups;
    of_groups_.resize(std::max(of_groups_.size(), static_cast<size_t>(count + kChunkGroups)));
    spread_absmax(blocks, span, begin, begin + count, of_groups_.data());
    return reinterpret_cast<const char*>(of_groups_.data());
  }

  // All rows, for as many columns as the x of kTokens tokens stay in the first-level cache with.
  template <int kTokens>
  HWY_NOINLINE void multiply_part(int64_t t) const {
    constexpr int64_t kStretchBytes = 32 << 10;
    // One token takes single rows, as they lie in memory, but sums up the lanes of four together.
    constexpr int kRows = kTokens > 1 ? kRowsTogether : 1, kSteps = kTokens > 1 ? 1 : 4;
    const int64_t stretch = kStretchBytes / (kTokens * code_group() * int64_t{sizeof(int16_t)});
    for (int64_t from = 0; from < rows_.groups; from += stretch) {
      const int64_t count = std::min(stretch, rows_.groups - from);
      CodeCursor at = begin_.ahead(rows_, from);
      int64_t row = now_.begin;
      for (; row + kRows * kSteps <= now_.end; row += kRows * kSteps) {
        multiply<kRows, kTokens, kSteps>(at, row, t, from, count);
      }
      for (; row < now_.end; ++row) multiply<1, kTokens, 1>(at, row, t, from, count);
    }
  }

  // `count` groups of columns from group `from` on, of kTokens tokens and kSteps times kRows rows,
  // the first at `at`, which moves to the row behind them.
  template <int kRows, int kTokens, int kSteps>
  HWY_INLINE void multiply(CodeCursor& at, int64_t row, int64_t t, int64_t from,
                           int64_t count) const {
    const TotalLanes d;
    constexpr int kSums = kRows * kTokens, kLanes = static_cast<int>(hn::MaxLanes(TotalLanes()));
    alignas(64) float lanes[kSteps * kSums * kLanes];
    const int64_t before = from * (kOrder == BlockOrder::kWords ? kTokens : 1);
    const int16_t* codes = x_.codes.get() + t * weight_.cols + before * 2 * rows_.group_bytes;
    const int64_t lanes_of_one = kTokens == 1 ? 1 : x_.scale_lanes;
    const float* scales =
        x_.scales.get() + t * rows_.groups * x_.scale_lanes + before * lanes_of_one;
    const bool with_offsets = has_offsets_ && from == 0;
    if (with_offsets) {
      for (int i = 0; i < kSteps * kSums; ++i) {
        hn::Store(offsets_of_row(row + i / kTokens, t + i % kTokens), d, lanes + i * kLanes);
      }
    }
    for (int step = 0; step < kSteps; ++step) {
      CodeCursor cursors[kRows] = {at};
      for (int r = 1; r < kRows; ++r) {
        cursors[r] = cursors[r - 1].ahead(rows_, rows_.groups);
      }
      dot_rows<kRows, kTokens, kSpan>(table_, rows_, count, cursors, codes, scales, with_offsets,
                                      lanes + step * kSums * kLanes);
      at = cursors[kRows - 1];
      if (count < rows_.groups) at = at.ahead(rows_, rows_.groups - count);
    }
    float sums[(kSteps * kSums + 3) / 4 * 4];
    sum_lanes<kSteps * kSums>(d, lanes, sums);
    if (kTokens == 1 && from == 0 && !args_.bias) {  // by one vector
      for (int r = 0; r < kSteps; ++r) args_.y[t * weight_.rows + row + r] = sums[r] * unit_;
      return;
    }
    for (int r = 0; r < kSteps * kRows; ++r) {
      for (int i = 0; i < kTokens; ++i) {
        float& y = args_.y[(t + i) * weight_.rows + row + r];
        const float before = from > 0 ? y : args_.bias ? args_.bias[row + r] : 0.0f;
        y = sums[r * kTokens + i] * unit_ + before;
      }
    }
  }

  // What the offsets of a row's blocks give with a token, over all lanes, in units of unit_.
  HWY_INLINE hn::Vec<TotalLanes> offsets_of_row(int64_t row, int64_t t) const {
    const int64_t blocks = weight_.cols / weight_.block.block_size;
    return offset_products(offsets_.data() + (row - now_.begin) * blocks,
                           x_.sums.get() + t * blocks, blocks);
  }

  const WeightView& weight_;
  const BlockActivations& x_;
  const LinearArgs& args_;
  const RowRange range_;
  const int32_t limit_;
  const CodeTable table_;
  const float unit_;
  CodeRows rows_;
  RowRange now_;  // the rows that these belong to:
  std::vector<float> of_blocks_, of_groups_, offsets_;
  bool has_offsets_ = false;
  CodeCursor begin_;
};

void DotCodeRows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                 RowRange range) {
  const int64_t size = weight.block.block_size, group = code_group();
  if (range.begin >= range.end) return;
  const auto run = [&]<BlockSpan kSpan>()
                       HWY_ATTR { RangeProduct<kSpan>(weight, x, args, range).run(); };
  if (size < group) return run.template operator()<BlockSpan::kHalfGroup>();
  if (size == group && weight.block.absmax && weight.block.scale_dtype != DType::kF32) {
    return run.template operator()<BlockSpan::kNarrowGroup>();
  }
  run.template operator()<BlockSpan::kGroup>();
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
