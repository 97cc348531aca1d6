// SPDX-License-Identifier: Apache-2.0
//
// Many tokens times any weight: a panel of rows is decoded, a stretch of columns at a time, into a
// float tile that stays in cache, and multiplied by all tokens from registers. Decoding costs one
// pass over the weight however many tokens there are.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <vector>

#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/micro_gemm-inl.h"
#include "nibble/backend/cpu/panel_output-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The packed stretch of one token group (256 x 16 floats) must stay in a 32 KiB L1 while the rows
// of the panel pass by.
HWY_INLINE int64_t stretch_columns() { return 4096 / tile_columns(); }

int64_t GemmGroup() { return tile_columns(); }

void GemmPack(const float* x, int64_t tokens, int64_t cols, int64_t begin, int64_t end,
              float* packed) {
  const int64_t group = tile_columns();
  constexpr int64_t kStretch = 64;  // columns whose packed form (4 KiB) stays in L1
  for (int64_t g = begin; g < end; ++g) {
    float* out = packed + g * cols * group;
    const int64_t first = g * group, present = std::min(group, tokens - first);
    if (present < group) std::fill_n(out, cols * group, 0.0f);
    for (int64_t k0 = 0; k0 < cols; k0 += kStretch) {
      const int64_t stop = std::min(k0 + kStretch, cols);
      for (int64_t i = 0; i < present; ++i) {
        const float* from = x + (first + i) * cols;
        for (int64_t k = k0; k < stop; ++k) out[k * group + i] = from[k];
      }
    }
  }
}

void GemmRows(const WeightView& weight, const LinearArgs& args, const float* packed, RowRange range,
              int64_t token_begin, int64_t token_end) {
  const int64_t group = tile_columns(), cols = weight.cols;
  const int64_t rows = range.end - range.begin, first_group = token_begin / group;
  const int64_t groups = (token_end - token_begin + group - 1) / group;
  // Equal stretches of columns, so that the last one is not a sliver.
  const int64_t stretches =
      std::max<int64_t>(1, (cols + stretch_columns() - 1) / stretch_columns());
  const int64_t depth = (cols + stretches - 1) / stretches;
  const auto sums =  // [groups, rows, group]
      hwy::AllocateAligned<float>(static_cast<size_t>(groups * rows * group));
  // A stride known to the compiler saves the registers that would hold its multiples.
  const int64_t stride = stretch_columns();
  const auto tile = hwy::AllocateAligned<float>(static_cast<size_t>(rows * stride));
  DecodeScratch scratch;
  for (int64_t stretch = 0; stretch < stretches; ++stretch) {
    const int64_t k = stretch * depth, count = std::min(depth, cols - k);
    for (int64_t r = 0; r < rows; ++r) {
      decode_columns(weight, range.begin + r, k, count, tile.get() + r * stride, scratch);
    }
    for (int64_t g = 0; g < groups; ++g) {
      multiply_rows<2>({.a = tile.get(),
                        .row_stride = stride,
                        .k_stride = 1,
                        .b = packed + ((first_group + g) * cols + k) * group,
                        .depth = count,
                        .c = sums.get() + g * rows * group,
                        .c_stride = group,
                        .add = stretch > 0},
                       rows);
    }
  }
  const hn::ScalableTag<float> d;
  store_panel(args, weight.rows, range, token_begin, token_end, [&](int64_t r, int64_t t) HWY_ATTR {
    return hn::Load(d, sums.get() + at_panel(rows, r, t));
  });
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(GemmGroup);
HWY_EXPORT(GemmPack);
HWY_EXPORT(GemmRows);

int64_t gemm_group() { return HWY_DYNAMIC_DISPATCH(GemmGroup)(); }

void gemm_pack(const float* x, int64_t tokens, int64_t cols, int64_t begin, int64_t end,
               float* packed) {
  HWY_DYNAMIC_DISPATCH(GemmPack)(x, tokens, cols, begin, end, packed);
}

void gemm_rows(const WeightView& weight, const LinearArgs& args, const float* packed,
               RowRange range, int64_t token_begin, int64_t token_end) {
  HWY_DYNAMIC_DISPATCH(GemmRows)(weight, args, packed, range, token_begin, token_end);
}
}  // namespace nibble::cpu
#endif
