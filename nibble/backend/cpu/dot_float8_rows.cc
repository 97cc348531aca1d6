// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times rows of 8-bit floats: converted in registers (float8_halves-inl.h), and the sum
// of each block of columns times its scale.
#include <limits>

#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_float8_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/few_tokens-inl.h"
#include "nibble/backend/cpu/float8_halves-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if !NIBBLE_CPU_FLOAT8_HALVES

// Every shape goes through dot_decoded_rows.
int64_t Float8Step() { return 0; }
void DotFloat8Rows(const WeightView&, const LinearArgs&, const float*, RowRange) {}

#else

// Columns at a time.
int64_t Float8Step() { return 2 * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }

// One row times the part of kTokens tokens from `t` on.
template <int kTokens, class T>
HWY_INLINE void dot_row(const WeightView& weight, const LinearArgs& args, const float* part,
                        int64_t row, int64_t t) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), step = Float8Step();
  const Float8Block& packed = *weight.float8;
  const T* codes = static_cast<const T*>(weight.elements) + row * weight.cols;
  const float* scales =
      packed.scales.data<float>().data() + row / packed.block_rows * packed.scales.dim(1);
  Float8Nan<T> nan;
  hn::Vec<decltype(d)> total[kTokens];
  HWY_UNROLL(4)
  for (int k = 0; k < kTokens; ++k) total[k] = hn::Zero(d);
  for (int64_t begin = 0; begin < weight.cols; begin += packed.block_cols, ++scales) {
    const int64_t end = HWY_MIN(begin + packed.block_cols, weight.cols);
    hn::Vec<decltype(d)> low[kTokens], high[kTokens];
    HWY_UNROLL(4)
    for (int k = 0; k < kTokens; ++k) low[k] = high[k] = hn::Zero(d);
    for (int64_t i = begin; i < end; i += step, part += kTokens * step) {
      prefetch(codes + i, kInt8Prefetch);
      const Float8Pair w = load_float8_pair(codes + i, nan);
      HWY_UNROLL(4)
      for (int k = 0; k < kTokens; ++k) {
        low[k] = hn::MulAdd(w.low, hn::LoadU(d, part + k * lanes), low[k]);
        high[k] = hn::MulAdd(w.high, hn::LoadU(d, part + (kTokens + k) * lanes), high[k]);
      }
    }
    const auto scale = hn::Set(d, *scales);
    HWY_UNROLL(4)
    for (int k = 0; k < kTokens; ++k) {
      total[k] = hn::MulAdd(hn::Add(low[k], high[k]), scale, total[k]);
    }
  }
  const float bias = args.bias ? args.bias[row] : 0.0f;
  const bool is_nan = nan.any();  // times any x
  for (int k = 0; k < kTokens; ++k) {
    const float product = hn::GetLane(hn::SumOfLanes(d, total[k])) / float8_unit<T>();
    args.y[(t + k) * weight.rows + row] =
        is_nan ? std::numeric_limits<float>::quiet_NaN() : product + bias;
  }
}

template <class T>
void dot_rows_of(const WeightView& weight, const LinearArgs& args, const float* parts,
                 RowRange range) {
  for_parts(args.tokens, [&]<int kTokens>(int64_t t) HWY_ATTR {
    for (int64_t row = range.begin; row < range.end; ++row) {
      dot_row<kTokens, T>(weight, args, parts + t * weight.cols, row, t);
    }
  });
}

void DotFloat8Rows(const WeightView& weight, const LinearArgs& args, const float* parts,
                   RowRange range) {
  if (weight.dtype == DType::kF8E4M3) return dot_rows_of<fp8_e4m3>(weight, args, parts, range);
  dot_rows_of<fp8_e5m2>(weight, args, parts, range);
}

#endif  // !NIBBLE_CPU_FLOAT8_HALVES

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(Float8Step);
HWY_EXPORT(DotFloat8Rows);

bool can_dot_float8_rows(const WeightView& weight) {
  const int64_t step = HWY_DYNAMIC_DISPATCH(Float8Step)();
  if (!weight.float8 || step == 0 || weight.cols % step != 0) return false;
  return weight.float8->block_cols % step == 0 || weight.float8->block_cols >= weight.cols;
}

void dot_float8_rows(const WeightView& weight, const LinearArgs& args, const float* parts,
                     RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotFloat8Rows)(weight, args, parts, range);
}
}  // namespace nibble::cpu
#endif
