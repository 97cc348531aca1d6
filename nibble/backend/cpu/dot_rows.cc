// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times dense or int8 rows. Each weight element is read from memory once and multiplied
// by up to four tokens while it is in a register; memory bandwidth is the limit.
#include <vector>

#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/float_load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sums[t] = w . x[t] for kTokens tokens that lie `cols` apart.
template <int kTokens, class T>
HWY_INLINE void dot(const T* HWY_RESTRICT w, const float* HWY_RESTRICT x, int64_t cols,
                    float* HWY_RESTRICT sums) {
  // Eight (four) independent sums hide the latency of the multiply-add.
  constexpr int kUnroll = kTokens == 1 ? 4 : 2;
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[kTokens][kUnroll];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    HWY_UNROLL(4)
    for (int u = 0; u < kUnroll; ++u) sum[t][u] = hn::Zero(d);
  }
  int64_t i = 0;
  for (; i + kUnroll * lanes <= cols; i += kUnroll * lanes) {
    prefetch_weights(w + i);
    HWY_UNROLL(4)
    for (int u = 0; u < kUnroll; ++u) {
      const auto weight = load_floats(d, w + i + u * lanes);
      HWY_UNROLL(4)
      for (int t = 0; t < kTokens; ++t) {
        sum[t][u] = hn::MulAdd(weight, hn::LoadU(d, x + t * cols + i + u * lanes), sum[t][u]);
      }
    }
  }
  for (; i + lanes <= cols; i += lanes) {
    const auto weight = load_floats(d, w + i);
    HWY_UNROLL(4)
    for (int t = 0; t < kTokens; ++t) {
      sum[t][0] = hn::MulAdd(weight, hn::LoadU(d, x + t * cols + i), sum[t][0]);
    }
  }
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    auto total = hn::Add(sum[t][0], sum[t][1]);
    if constexpr (kUnroll == 4) total = hn::Add(total, hn::Add(sum[t][2], sum[t][3]));
    sums[t] = hn::GetLane(hn::SumOfLanes(d, total));
  }
  for (; i < cols; ++i) {
    const float weight = load_float(w + i);
    for (int t = 0; t < kTokens; ++t) sums[t] += weight * x[t * cols + i];
  }
}

// One row times all tokens; result t goes to y[t * y_stride].
template <class T>
HWY_INLINE void dot_row(const T* w, const float* x, int64_t tokens, int64_t cols, float scale,
                        float bias, float* y, int64_t y_stride) {
  float sums[4];
  int64_t t = 0;
  const auto store = [&](int count) {
    for (int i = 0; i < count; ++i) y[(t + i) * y_stride] = sums[i] * scale + bias;
    t += count;
  };
  while (t + 4 <= tokens) {
    dot<4>(w, x + t * cols, cols, sums);
    store(4);
  }
  if (t + 2 <= tokens) {
    dot<2>(w, x + t * cols, cols, sums);
    store(2);
  }
  if (t < tokens) {
    dot<1>(w, x + t * cols, cols, sums);
    store(1);
  }
}

template <class T>
void dot_rows_of(const WeightView& weight, const LinearArgs& args, RowRange range) {
  const T* elements = static_cast<const T*>(weight.elements);
  for (int64_t row = range.begin; row < range.end; ++row) {
    const float scale = weight.row_absmax ? weight.row_absmax[row] / kInt8Max : 1.0f;
    dot_row(elements + row * weight.cols, args.x, args.tokens, weight.cols, scale,
            args.bias ? args.bias[row] : 0.0f, args.y + row, weight.rows);
  }
}

void DotRows(const WeightView& weight, const LinearArgs& args, RowRange range) {
  if (weight.layout == Layout::kInt8Row) return dot_rows_of<int8_t>(weight, args, range);
  switch (weight.dtype) {
    case DType::kF16:
      return dot_rows_of<fp16>(weight, args, range);
    case DType::kBF16:
      return dot_rows_of<bf16>(weight, args, range);
    default:
      return dot_rows_of<float>(weight, args, range);
  }
}

void DotDecodedRows(const WeightView& weight, const LinearArgs& args, RowRange range) {
  std::vector<float> decoded(static_cast<size_t>(weight.cols)), absmax;
  for (int64_t row = range.begin; row < range.end; ++row) {
    decode_columns(weight, row, 0, weight.cols, decoded.data(), absmax);
    dot_row(decoded.data(), args.x, args.tokens, weight.cols, 1.0f,
            args.bias ? args.bias[row] : 0.0f, args.y + row, weight.rows);
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(DotRows);
HWY_EXPORT(DotDecodedRows);

void dot_rows(const WeightView& weight, const LinearArgs& args, RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotRows)(weight, args, range);
}

void dot_decoded_rows(const WeightView& weight, const LinearArgs& args, RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotDecodedRows)(weight, args, range);
}
}  // namespace nibble::cpu
#endif
