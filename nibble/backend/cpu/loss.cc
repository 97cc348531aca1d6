// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/loss.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// log(sum(exp(x))). Stretches are summed in float and the stretches in double, so that the sum over
// a vocabulary does not lose digits.
double LogSumExp(const float* x, int64_t count) {
  constexpr int64_t kStretch = 512;
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  auto largest = hn::Set(d, x[0]);
  for (; i + lanes <= count; i += lanes) largest = hn::Max(largest, hn::LoadU(d, x + i));
  float maximum = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; i < count; ++i) maximum = std::max(maximum, x[i]);
  const auto shift = hn::Set(d, maximum);
  double sum = 0.0;
  for (i = 0; i + lanes <= count;) {
    const int64_t stop = std::min(i + kStretch, count);
    auto part = hn::Zero(d);
    for (; i + lanes <= stop; i += lanes) {
      part = hn::Add(part, exp_of(d, hn::Sub(hn::LoadU(d, x + i), shift)));
    }
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, part)));
  }
  for (; i < count; ++i) sum += std::exp(static_cast<double>(x[i]) - maximum);
  return std::log(sum) + maximum;
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(LogSumExp);

void cross_entropy(ThreadPool& pool, const float* logits, int64_t tokens, int64_t vocab,
                   const int32_t* targets, float* losses) {
  const int64_t grain = std::max<int64_t>(1, kElementGrain / 4 / std::max<int64_t>(1, vocab));
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* row = logits + t * vocab;
      const double log_sum = HWY_DYNAMIC_DISPATCH(LogSumExp)(row, vocab);
      losses[t] = static_cast<float>(log_sum - static_cast<double>(row[targets[t]]));
    }
  });
}
}  // namespace nibble::cpu
#endif
