// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times dense or int8 rows. Each weight element is read from memory once and multiplied
// by up to four tokens while it is in a register.
#include <vector>

#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/few_tokens-inl.h"
#include "nibble/backend/cpu/float_load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sums[r * kTokens + t] = w[r] . x[t] for rows that lie `cols` apart and one part of the tokens:
// `x`, from which the elements behind the last whole vector are taken, and `part`.
template <int kRows, int kTokens, class T>
HWY_INLINE void dot(const T* HWY_RESTRICT w, const float* HWY_RESTRICT x,
                    const float* HWY_RESTRICT part, int64_t cols, float* HWY_RESTRICT sums) {
  // Several sums hide the latency of the multiply-add. Their number depends on the tokens alone: a
  // row's result may not depend on which rows share its loads.
  constexpr int kUnroll = kTokens == 1 ? 4 : kTokens == 2 ? 2 : 1;
  constexpr int64_t kAhead = sizeof(T) == 1 ? kInt8Prefetch : kDensePrefetch;
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[kRows * kTokens][kUnroll];
  HWY_UNROLL(16)
  for (int s = 0; s < kRows * kTokens; ++s) {
    HWY_UNROLL(4)
    for (int u = 0; u < kUnroll; ++u) sum[s][u] = hn::Zero(d);
  }
  const auto step = [&](int64_t i, int u) HWY_ATTR {
    hn::Vec<decltype(d)> weight[kRows];
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) weight[r] = load_floats(d, w + r * cols + i);
    HWY_UNROLL(4)
    for (int t = 0; t < kTokens; ++t) {
      const auto value = hn::LoadU(d, part + i * kTokens + t * lanes);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        sum[r * kTokens + t][u] = hn::MulAdd(weight[r], value, sum[r * kTokens + t][u]);
      }
    }
  };
  int64_t i = 0;
  for (; i + kUnroll * lanes <= cols; i += kUnroll * lanes) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) prefetch(w + r * cols + i, kAhead);
    HWY_UNROLL(4)
    for (int u = 0; u < kUnroll; ++u) step(i + u * lanes, u);
  }
  for (; i + lanes <= cols; i += lanes) step(i, 0);
  HWY_UNROLL(16)
  for (int s = 0; s < kRows * kTokens; ++s) {
    auto total = sum[s][0];
    if constexpr (kUnroll >= 2) total = hn::Add(total, sum[s][1]);
    if constexpr (kUnroll == 4) total = hn::Add(total, hn::Add(sum[s][2], sum[s][3]));
    sums[s] = hn::GetLane(hn::SumOfLanes(d, total));
  }
  for (; i < cols; ++i) {
    for (int r = 0; r < kRows; ++r) {
      const float weight = load_float(w + r * cols + i);
      for (int t = 0; t < kTokens; ++t) sums[r * kTokens + t] += weight * x[t * cols + i];
    }
  }
}

// Rows [begin, end) of y, from rows `w` of the weight on.
template <class T>
HWY_INLINE void dot_all(const WeightView& weight, const T* w, const LinearArgs& args,
                        const float* parts, RowRange range) {
  const int64_t cols = weight.cols;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const int64_t whole = cols / lanes * lanes;
  // All rows of the range for a part at a time: then it is the rows that come from the
  // second-level cache for the next part, and not, for each row, the parts.
  for_parts(args.tokens, [&]<int kTokens>(int64_t t) HWY_ATTR {
    for_sharing_rows(range.begin, range.end, args.tokens, [&]<int kRows>(int64_t row) HWY_ATTR {
      float sums[kRows * kTokens];
      dot<kRows, kTokens>(w + (row - range.begin) * cols, args.x + t * cols, parts + t * whole,
                          cols, sums);
      for (int r = 0; r < kRows; ++r) {
        const float scale = weight.row_absmax ? weight.row_absmax[row + r] / kInt8Max : 1.0f;
        const float bias = args.bias ? args.bias[row + r] : 0.0f;
        for (int k = 0; k < kTokens; ++k) {
          args.y[(t + k) * weight.rows + row + r] = sums[r * kTokens + k] * scale + bias;
        }
      }
    });
  });
}

void DotPack(const float* x, int64_t tokens, int64_t cols, float* packed) {
  pack_parts(hn::ScalableTag<float>(), x, cols, tokens, cols, packed);
}

template <class T>
void dot_rows_of(const WeightView& weight, const LinearArgs& args, const float* parts,
                 RowRange range) {
  dot_all(weight, static_cast<const T*>(weight.elements) + range.begin * weight.cols, args, parts,
          range);
}

void DotRows(const WeightView& weight, const LinearArgs& args, const float* parts, RowRange range) {
  if (weight.layout == Layout::kInt8Row) return dot_rows_of<int8_t>(weight, args, parts, range);
  switch (weight.dtype) {
    case DType::kF16:
      return dot_rows_of<fp16>(weight, args, parts, range);
    case DType::kBF16:
      return dot_rows_of<bf16>(weight, args, parts, range);
    default:
      return dot_rows_of<float>(weight, args, parts, range);
  }
}

void DotDecodedRows(const WeightView& weight, const LinearArgs& args, const float* parts,
                    RowRange range) {
  std::vector<float> decoded(static_cast<size_t>(weight.cols));
  DecodeScratch scratch;
  for (int64_t row = range.begin; row < range.end; ++row) {
    decode_columns(weight, row, 0, weight.cols, decoded.data(), scratch);
    dot_all(weight, decoded.data(), args, parts, {row, row + 1});
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(DotPack);
HWY_EXPORT(DotRows);
HWY_EXPORT(DotDecodedRows);

void dot_pack(const float* x, int64_t tokens, int64_t cols, float* packed) {
  HWY_DYNAMIC_DISPATCH(DotPack)(x, tokens, cols, packed);
}

void dot_rows(const WeightView& weight, const LinearArgs& args, const float* parts,
              RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotRows)(weight, args, parts, range);
}

void dot_decoded_rows(const WeightView& weight, const LinearArgs& args, const float* parts,
                      RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotDecodedRows)(weight, args, parts, range);
}
}  // namespace nibble::cpu
#endif
