// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RmsNormRow(const float* x, int64_t width, const float* weight, float eps, float* y) {
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
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
  const auto factor = hn::Set(d, inverse);
  for (i = 0; i + lanes <= width; i += lanes) {
    const auto normed = hn::Mul(hn::LoadU(d, x + i), factor);
    hn::StoreU(hn::Mul(normed, hn::LoadU(d, weight + i)), d, y + i);
  }
  for (; i < width; ++i) y[i] = x[i] * inverse * weight[i];
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(RmsNormRow);

void rms_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
              float eps, float* y) {
  const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(1, width));
  pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      HWY_DYNAMIC_DISPATCH(RmsNormRow)(x + row * width, width, weight, eps, y + row * width);
    }
  });
}
}  // namespace nibble::cpu
#endif
