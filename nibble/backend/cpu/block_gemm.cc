// SPDX-License-Identifier: Apache-2.0
//
// Many tokens times rows of 4-bit or 8-bit codes with float activations: a panel of rows is decoded
// to int16, a stretch of columns at a time, into a tile that stays in cache, and multiplied by all
// tokens in int16 (block_activations.h). The exact sum over a group of columns becomes a float
// once, times the scale of x and the absmax of the block.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <vector>

#include "nibble/backend/cpu/block_activations.h"
#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/block_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/block_offsets-inl.h"
#include "nibble/backend/cpu/block_tiles-inl.h"
#include "nibble/backend/cpu/panel_output-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

BlockOrder OrderOfInt8Blocks() { return kInt8Order; }

// Rows [tokens, count] as [token groups, count, tile_columns()], zero padded.
HWY_INLINE void pack_rows(const float* from, int64_t tokens, int64_t count, int64_t begin,
                          int64_t end, float* to) {
  const int64_t tile = tile_columns();
  for (int64_t g = begin; g < end; ++g) {
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t i = 0; i < tile; ++i) {
        const int64_t t = g * tile + i;
        to[(g * count + k) * tile + i] = t < tokens ? from[t * count + k] : 0.0f;
      }
    }
  }
}

void BlockGemmPack(const BlockActivations& x, int64_t begin, int64_t end, int16_t* codes,
                   float* scales, float* sums) {
  const int64_t groups = x.cols / std::max<int64_t>(1, code_group());
#if HWY_TARGET == HWY_AVX3_DL
  if (x.order == kInt8Order) {
    pack_quads(x.codes.get(), x.cols, x.tokens, x.cols, begin, end,
               reinterpret_cast<uint8_t*>(codes));
  } else {
    pack_pairs(x.codes.get(), x.cols, x.tokens, x.cols, begin, end, codes);
  }
#else
  pack_pairs(x.codes.get(), x.cols, x.tokens, x.cols, begin, end, codes);
#endif
  pack_rows(x.scales.get(), x.tokens, groups, begin, end, scales);
  if (sums) pack_rows(x.sums.get(), x.tokens, x.cols / x.sum_columns, begin, end, sums);
}

#if HWY_TARGET == HWY_SCALAR

void BlockGemmRows(const WeightView&, const PackedBlocks&, const LinearArgs&, RowRange, int64_t,
                   int64_t) {}

#else

// c [rows, tile_columns()] += tile . x for kRows rows and one token group.
template <int kRows, class Tile>
HWY_INLINE void add_group_products(const Tile& tile, int64_t row,
                                   const typename Tile::X* HWY_RESTRICT x,
                                   const float* HWY_RESTRICT x_scales, float* HWY_RESTRICT c) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t group = 2 * static_cast<int64_t>(hn::Lanes(CodeBytes()));
  const int64_t stride = kStretchColumns / group;
  const float* absmax = tile.absmax + row * stride;
  c += row * 2 * lanes;
  for (int64_t g = 0; g < tile.groups; ++g) {
    hn::Vec<PairSums> sum0[kRows], sum1[kRows];
    tile.template multiply<kRows>(row, g, group, x, sum0, sum1);
    const auto scale0 = hn::Load(d, x_scales + g * 2 * lanes);
    const auto scale1 = hn::Load(d, x_scales + g * 2 * lanes + lanes);
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      float* to = c + r * 2 * lanes;
      const auto weight_scale = hn::Set(d, absmax[r * stride + g]);
      const auto product0 = hn::Mul(hn::ConvertTo(d, sum0[r]), scale0);
      const auto product1 = hn::Mul(hn::ConvertTo(d, sum1[r]), scale1);
      hn::Store(hn::MulAdd(product0, weight_scale, hn::Load(d, to)), d, to);
      hn::Store(hn::MulAdd(product1, weight_scale, hn::Load(d, to + lanes)), d, to + lanes);
    }
  }
}

template <class Rows>
void multiply_blocks(const WeightView& weight, Rows rows_of, const PackedBlocks& x,
                     const LinearArgs& args, RowRange range, int64_t token_begin,
                     int64_t token_end) {
  const int64_t width = tile_columns(), group = code_group(), cols = weight.cols;
  const int64_t rows = range.end - range.begin, first = token_begin / width;
  const int64_t token_groups = (token_end - token_begin + width - 1) / width;
  const int64_t stride = kStretchColumns / group;
  const auto sums =  // [token_groups, rows, width]
      hwy::AllocateAligned<float>(static_cast<size_t>(token_groups * rows * width));
  using Tile = typename Rows::Tile;
  const auto values =
      hwy::AllocateAligned<typename Tile::Value>(static_cast<size_t>(rows * kStretchColumns));
  const auto shifts = hwy::AllocateAligned<int32_t>(static_cast<size_t>(rows * stride));
  const auto absmax = hwy::AllocateAligned<float>(static_cast<size_t>(rows * stride));
  std::fill_n(sums.get(), token_groups * rows * width, 0.0f);
  for (int64_t k = 0; k < cols; k += kStretchColumns) {
    const int64_t count = std::min(kStretchColumns, cols - k);
    for (int64_t r = 0; r < rows; ++r) {
      rows_of.decode(range.begin + r, k, count, values.get() + r * kStretchColumns,
                     absmax.get() + r * stride, shifts.get() + r * stride);
    }
    const Tile tile{values.get(), absmax.get(), shifts.get(), count / group};
    for (int64_t t = 0; t < token_groups; ++t) {
      const auto* codes =
          reinterpret_cast<const typename Tile::X*>(x.codes) + ((first + t) * cols + k) * width;
      const float* scales = x.scales + ((first + t) * (cols / group) + k / group) * width;
      float* c = sums.get() + t * rows * width;
      int64_t r = 0;
      for (; r + kPairRows <= rows; r += kPairRows) {
        add_group_products<kPairRows>(tile, r, codes, scales, c);
      }
      for (; r < rows; ++r) add_group_products<1>(tile, r, codes, scales, c);
    }
  }
  // What blocks with an offset add: that times the sum of the block's x.
  const int64_t blocks = weight.block.zeros ? cols / weight.block.block_size : 0;
  std::vector<float> offsets(static_cast<size_t>(rows * blocks));
  if (blocks > 0) {
    with_scales(weight.block, range.begin * blocks, [&](const auto* scales, const auto* zeros) {
      const hn::CappedTag<float, 1> d1;
      for (int64_t i = 0; i < rows * blocks; ++i) {
        offsets[static_cast<size_t>(i)] =
            hn::GetLane(offsets_of(d1, scales + i, zeros + i, weight.block.zero_form));
      }
    });
  }
  const hn::ScalableTag<float> d;
  store_panel(args, weight.rows, range, token_begin, token_end, [&](int64_t r, int64_t t) HWY_ATTR {
    const auto unit = hn::Set(d, rows_of.unit(range.begin + r));
    auto y = hn::Mul(hn::Load(d, sums.get() + at_panel(rows, r, t)), unit);
    const float* x_sums = x.sums + (first + t / width) * blocks * width + t % width;
    for (int64_t i = 0; i < blocks; ++i) {
      const auto offset = hn::Set(d, offsets[static_cast<size_t>(r * blocks + i)]);
      y = hn::MulAdd(offset, hn::Load(d, x_sums + i * width), y);
    }
    return y;
  });
}

void BlockGemmRows(const WeightView& weight, const PackedBlocks& x, const LinearArgs& args,
                   RowRange range, int64_t token_begin, int64_t token_end) {
  if (weight.layout == Layout::kInt8Row) {
    return multiply_blocks(weight, Int8Rows(weight), x, args, range, token_begin, token_end);
  }
#if HWY_TARGET == HWY_AVX3_DL
  if (weight.activations_are_int8) {
    return multiply_blocks(weight, ByteRows(weight), x, args, range, token_begin, token_end);
  }
#endif
  multiply_blocks(weight, CodeRows(weight), x, args, range, token_begin, token_end);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(BlockGemmPack);
HWY_EXPORT(OrderOfInt8Blocks);
HWY_EXPORT(BlockGemmRows);

bool can_multiply_blocks(const WeightView& weight) {
  if (weight.layout == Layout::kInt8Row) {
    return code_group() > 0 && weight.cols > 0 && weight.cols % code_group() == 0;
  }
  return can_dot_code_rows(weight) && weight.block.block_size % code_group() == 0;
}

BlockActivations quantize_for_block_gemm(ThreadPool& pool, BufferCache& buffers,
                                         const WeightView& weight, const LinearArgs& args) {
  BlockForm form;
  if (weight.layout == Layout::kInt8Row) {  // 64 * 128 * 32767 < 2^31
    form.limits = {.magnitude = kActivationLimit};
  } else {
    form.limits = limits_of(weight, {.magnitude = kActivationLimit, .sum = kActivationSum});
    form.order = weight.activations_are_int8 ? HWY_DYNAMIC_DISPATCH(OrderOfInt8Blocks)()
                                             : BlockOrder::kCodes;
    form.odd_first = weight.block.low_nibble_first;
    if (weight.block.zeros) form.sum_columns = weight.block.block_size;
  }
  return quantize_blocks(pool, buffers, args.x, args.tokens, weight.cols, form);
}

void block_gemm_pack(const BlockActivations& x, int64_t begin, int64_t end, int16_t* codes,
                     float* scales, float* sums) {
  HWY_DYNAMIC_DISPATCH(BlockGemmPack)(x, begin, end, codes, scales, sums);
}

void block_gemm_rows(const WeightView& weight, const PackedBlocks& x, const LinearArgs& args,
                     RowRange range, int64_t token_begin, int64_t token_end) {
  HWY_DYNAMIC_DISPATCH(BlockGemmRows)(weight, x, args, range, token_begin, token_end);
}
}  // namespace nibble::cpu
#endif
