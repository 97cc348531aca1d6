// SPDX-License-Identifier: Apache-2.0
//
// The activations' half of LLM.int8(): float16 rounding, outliers, int8 codes.
#include <algorithm>
#include <limits>
#include <mutex>

#include "nibble/backend/cpu/llm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/int8_quantize.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// x rounded to float16 and back, in float arithmetic (base/half.h states the same steps).
template <class D>
HWY_INLINE hn::Vec<D> round_to_fp16(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> d32;
  const auto sign = hn::And(hn::BitCast(d32, x), hn::Set(d32, 0x80000000u));
  const auto magnitude = hn::AndNot(hn::BitCast(d, hn::Set(d32, 0x80000000u)), x);
  const auto bits = hn::BitCast(d32, magnitude);
  // Normal: round the mantissa to ten bits, ties to even.
  const auto tie = hn::And(hn::ShiftRight<13>(bits), hn::Set(d32, 1u));
  const auto rounded =
      hn::And(hn::Add(bits, hn::Add(tie, hn::Set(d32, 0xfffu))), hn::Set(d32, 0xffffe000u));
  // Below 2^-14: a multiple of 2^-24, the ulp of 0.5.
  const auto half = hn::Set(d, 0.5f);
  const auto small = hn::Sub(hn::Add(magnitude, half), half);
  auto result =
      hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x1p-14f)), small, hn::BitCast(d, rounded));
  result = hn::IfThenElse(hn::Ge(magnitude, hn::Set(d, 65520.0f)),
                          hn::Set(d, std::numeric_limits<float>::infinity()), result);
  result = hn::IfThenElse(hn::Eq(x, x), result, x);  // NaN stays NaN
  return hn::Or(result, hn::BitCast(d, sign));
}

// The largest magnitude of one token's elements below `limit`; `has_outlier` tells whether any
// element is not below it (NaN is not).
float Int8Absmax(const float* HWY_RESTRICT x, int64_t cols, float limit, bool& has_outlier) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto bound = hn::Set(d, limit);
  auto largest = hn::Zero(d);
  bool all_below = true;
  int64_t i = 0;
  for (; i + lanes <= cols; i += lanes) {
    const auto magnitude = hn::Abs(round_to_fp16(d, hn::LoadU(d, x + i)));
    const auto below = hn::Lt(magnitude, bound);
    all_below &= hn::AllTrue(d, below);
    largest = hn::Max(largest, hn::IfThenElseZero(below, magnitude));
  }
  float absmax = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; i < cols; ++i) {
    const hn::CappedTag<float, 1> one;
    const float magnitude = hn::GetLane(hn::Abs(round_to_fp16(one, hn::Set(one, x[i]))));
    if (magnitude < limit) {
      absmax = std::max(absmax, magnitude);
    } else {
      all_below = false;
    }
  }
  has_outlier = !all_below;
  return absmax;
}

// Marks the columns of one token that are not below `limit`.
void Int8MarkOutliers(const float* x, int64_t cols, float limit, uint8_t* marks) {
  const hn::CappedTag<float, 1> one;
  for (int64_t i = 0; i < cols; ++i) {
    const float magnitude = hn::GetLane(hn::Abs(round_to_fp16(one, hn::Set(one, x[i]))));
    if (!(magnitude < limit)) marks[i] = 1;
  }
}

// round-half-even of |x| < 2^22: adding 1.5 * 2^23 leaves the integer in the low mantissa bits.
// (Highway's own rounding is not exact on the scalar target just below one half.)
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> nearest_integer(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> d32;
  return hn::Sub(hn::BitCast(d32, hn::Add(x, hn::Set(d, 0x1.8p23f))), hn::Set(d32, 0x4b400000));
}

// codes = round-half-even(x * scale), as encode_int8_row; outliers give anything, the caller clears
// their columns.
void Int8Codes(const float* HWY_RESTRICT x, int64_t cols, float scale,
               int16_t* HWY_RESTRICT codes) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<int16_t, decltype(d)> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= cols; i += lanes) {
    const auto scaled = hn::Mul(round_to_fp16(d, hn::LoadU(d, x + i)), factor);
    hn::StoreU(hn::DemoteTo(d16, nearest_integer(d, scaled)), d16, codes + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < cols; ++i) {
    const auto scaled = hn::Mul(round_to_fp16(one, hn::Set(one, x[i])), hn::Set(one, scale));
    codes[i] = static_cast<int16_t>(hn::GetLane(nearest_integer(one, scaled)));
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(Int8Absmax);
HWY_EXPORT(Int8MarkOutliers);
HWY_EXPORT(Int8Codes);

namespace {
// Kernels may read codes in whole vectors of up to 64 bytes.
constexpr int64_t kCodePadding = 32;
// Elements per task: a few microseconds of work, well above the cost of handing it out.
constexpr int64_t kQuantizeGrain = 8192;
}  // namespace

Int8Activations quantize_activations(ThreadPool& pool, BufferCache& buffers, const float* x,
                                     int64_t tokens, int64_t cols, float threshold) {
  Int8Activations out;
  out.tokens = tokens;
  out.cols = cols;
  out.stride = (cols + kCodePadding - 1) / kCodePadding * kCodePadding;
  out.codes = buffers.array<int16_t>(tokens * out.stride);
  out.absmax.resize(static_cast<size_t>(tokens + gemm_group()), 0.0f);
  const float infinity = std::numeric_limits<float>::infinity();
  const float limit = threshold > 0.0f ? threshold : infinity;
  const int64_t grain = std::max<int64_t>(1, kQuantizeGrain / std::max<int64_t>(1, cols));

  std::vector<uint8_t> marks(static_cast<size_t>(cols), 0);
  std::mutex marks_mutex;  // outliers are rare: most tokens never take it
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      bool has_outlier = false;
      const float* row = x + t * cols;
      const float absmax = HWY_DYNAMIC_DISPATCH(Int8Absmax)(row, cols, limit, has_outlier);
      out.absmax[static_cast<size_t>(t)] = absmax;
      HWY_DYNAMIC_DISPATCH(Int8Codes)
      (row, cols, absmax > 0.0f ? int8_scale(absmax) : 0.0f, out.codes.get() + t * out.stride);
      std::fill_n(out.codes.get() + t * out.stride + cols, out.stride - cols, int16_t{0});
      if (has_outlier) {
        std::lock_guard lock(marks_mutex);
        HWY_DYNAMIC_DISPATCH(Int8MarkOutliers)(row, cols, limit, marks.data());
      }
    }
  });
  for (int64_t col = 0; col < cols; ++col) {
    if (marks[static_cast<size_t>(col)]) out.outlier_columns.push_back(col);
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (const int64_t col : out.outlier_columns) {
      out.codes.get()[t * out.stride + col] = 0;
      out.outliers.push_back(x[t * cols + col]);
    }
  }
  return out;
}
}  // namespace nibble::cpu
#endif
