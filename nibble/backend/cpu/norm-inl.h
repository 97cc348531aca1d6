// SPDX-License-Identifier: Apache-2.0
//
// The factor of root mean square normalization.
#if defined(NIBBLE_CPU_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_NORM_INL_H_
#undef NIBBLE_CPU_NORM_INL_H_
#else
#define NIBBLE_CPU_NORM_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 1 / sqrt(mean(x^2) + eps).
HWY_INLINE float inverse_rms(const float* HWY_RESTRICT x, int64_t width, float eps) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + lanes);
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
  }
  float squares = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; i < width; ++i) squares += x[i] * x[i];
  return 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
}

// y = x * inverse * weight; y may be x.
HWY_INLINE void scale_by_norm(const float* x, int64_t width, const float* HWY_RESTRICT weight,
                              float inverse, float* y) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, inverse);
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const auto normed = hn::Mul(hn::LoadU(d, x + i), factor);
    hn::StoreU(hn::Mul(normed, hn::LoadU(d, weight + i)), d, y + i);
  }
  for (; i < width; ++i) y[i] = x[i] * inverse * weight[i];
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
