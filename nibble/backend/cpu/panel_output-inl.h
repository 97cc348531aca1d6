// SPDX-License-Identifier: Apache-2.0
//
// The end of every matrix product: a panel's sums, which hold tokens side by side, become rows of
// y.
#if defined(NIBBLE_CPU_PANEL_OUTPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_PANEL_OUTPUT_INL_H_
#undef NIBBLE_CPU_PANEL_OUTPUT_INL_H_
#else
#define NIBBLE_CPU_PANEL_OUTPUT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "nibble/backend/cpu/linear_kernels.h"
#include "nibble/backend/cpu/micro_gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Where the sums of a panel's row r and the vector of tokens that begins at t (from the panel's
// first, a multiple of the lanes) lie in [token groups, rows, tile_columns()].
HWY_INLINE int64_t at_panel(int64_t rows, int64_t r, int64_t t) {
  const int64_t width = tile_columns();
  return (t / width * rows + r) * width + t % width;
}

// y[token_begin + t, range.begin + r] = result(r, t), a vector of tokens, plus the bias of the row.
template <class Result>
HWY_INLINE void store_panel(const LinearArgs& args, int64_t stride, RowRange range,
                            int64_t token_begin, int64_t token_end, const Result& result) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t rows = range.end - range.begin, tokens = token_end - token_begin;
  const auto finish = [&](int64_t r, int64_t t) HWY_ATTR {
    const auto value = result(r, t);
    return args.bias ? hn::Add(value, hn::Set(d, args.bias[range.begin + r])) : value;
  };
  HWY_ALIGN float turned[4 * HWY_MAX_BYTES / sizeof(float)];
  for (int64_t t = 0; t < tokens; t += lanes) {
    const int64_t present = std::min(lanes, tokens - t);
    float* y = args.y + (token_begin + t) * stride + range.begin;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      hn::StoreInterleaved4(finish(r, t), finish(r + 1, t), finish(r + 2, t), finish(r + 3, t), d,
                            turned);
      for (int64_t i = 0; i < present; ++i) hwy::CopyBytes<16>(turned + 4 * i, y + i * stride + r);
    }
    for (; r < rows; ++r) {
      hn::Store(finish(r, t), d, turned);
      for (int64_t i = 0; i < present; ++i) y[i * stride + r] = turned[i];
    }
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
