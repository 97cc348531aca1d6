// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/norm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RmsNormRow(const float* x, int64_t width, const float* weight, float eps, float* y) {
  scale_by_norm(x, width, weight, inverse_rms(x, width, eps), y);
}

// A row stays in the first-level cache from the sum to the product.
void AddRmsNormRow(const float* a, const float* b, int64_t width, const float* weight, float eps,
                   float* sum, float* y) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, sum + i);
  }
  for (; i < width; ++i) sum[i] = a[i] + b[i];
  RmsNormRow(sum, width, weight, eps, y);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(RmsNormRow);
HWY_EXPORT(AddRmsNormRow);

namespace {

template <typename Row>
void for_each_row(ThreadPool& pool, int64_t rows, int64_t width, const Row& row) {
  const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(1, width));
  pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(r * width);
  });
}

}  // namespace

void rms_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
              float eps, float* y) {
  for_each_row(pool, rows, width, [&](int64_t at) {
    HWY_DYNAMIC_DISPATCH(RmsNormRow)(x + at, width, weight, eps, y + at);
  });
}

void add_rms_norm(ThreadPool& pool, const float* a, const float* b, int64_t rows, int64_t width,
                  const float* weight, float eps, float* sum, float* y) {
  for_each_row(pool, rows, width, [&](int64_t at) {
    HWY_DYNAMIC_DISPATCH(AddRmsNormRow)
    (a + at, b + at, width, weight, eps, sum + at, y + at);
  });
}
}  // namespace nibble::cpu
#endif
