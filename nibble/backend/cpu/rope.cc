// SPDX-License-Identifier: Apache-2.0
//
// Rotary position embedding. As transformers does, an angle is position * inv_freq rounded to
// float32, and cosine and sine are float32 values of that angle. Parts of one token share them.
#include <algorithm>
#include <cstring>
#include <vector>

#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/rope.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/norm-inl.h"
#include "nibble/backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D64>
HWY_INLINE void store_angle(D64 d64, float position, const float* inv_freq, float scaling,
                            float* cosines, float* sines) {
  const hn::Rebind<float, D64> d;
  const auto angle = hn::Mul(hn::Set(d, position), hn::LoadU(d, inv_freq));
  hn::Vec<D64> sine, cosine;
  sin_cos(d64, hn::PromoteTo(d64, angle), sine, cosine);
  const auto factor = hn::Set(d, scaling);
  hn::StoreU(hn::Mul(hn::DemoteTo(d, cosine), factor), d, cosines);
  hn::StoreU(hn::Mul(hn::DemoteTo(d, sine), factor), d, sines);
}

// One head; y may be x.
HWY_INLINE void turn_head(const float* x, int64_t head_dim, const float* cosines,
                          const float* sines, int64_t half, float* y) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto cosine = hn::LoadU(d, cosines + i), sine = hn::LoadU(d, sines + i);
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
    hn::StoreU(hn::Sub(hn::Mul(a, cosine), hn::Mul(b, sine)), d, y + i);
    hn::StoreU(hn::Add(hn::Mul(b, cosine), hn::Mul(a, sine)), d, y + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i];
    y[i] = a * cosines[i] - b * sines[i];
    y[half + i] = b * cosines[i] + a * sines[i];
  }
  if (x != y && head_dim > 2 * half) {
    std::memcpy(y + 2 * half, x + 2 * half,
                static_cast<size_t>(head_dim - 2 * half) * sizeof(float));
  }
}

void RopeTokens(const RopeArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<double> d64;
  const hn::CappedTag<double, 1> one64;
  const int64_t lanes64 = static_cast<int64_t>(hn::Lanes(d64));
  const int64_t half = args.half_dim;
  std::vector<float> table(static_cast<size_t>(2 * half));
  float* cosines = table.data();
  float* sines = cosines + half;
  for (int64_t t = begin; t < end; ++t) {
    const float position = static_cast<float>(args.positions[t]);
    int64_t i = 0;
    for (; i + lanes64 <= half; i += lanes64) {
      store_angle(d64, position, args.inv_freq + i, args.scaling, cosines + i, sines + i);
    }
    for (; i < half; ++i) {
      store_angle(one64, position, args.inv_freq + i, args.scaling, cosines + i, sines + i);
    }
    for (const RopeArgs::Part& part : args.parts) {
      for (int64_t head = 0; head < part.heads; ++head) {
        const int64_t at = (t * part.heads + head) * args.head_dim;
        const float* x = part.x + at;
        float* y = part.y + at;
        if (part.norm_weight) {
          const float inverse = inverse_rms(x, args.head_dim, args.norm_eps);
          scale_by_norm(x, args.head_dim, part.norm_weight, inverse, y);
          x = y;
        }
        turn_head(x, args.head_dim, cosines, sines, half, y);
      }
    }
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(RopeTokens);

void rope(ThreadPool& pool, const RopeArgs& args) {
  int64_t width = 1;
  for (const RopeArgs::Part& part : args.parts) width += part.heads * args.head_dim;
  pool.parallel_for(
      args.tokens, std::max<int64_t>(1, kElementGrain / width),
      [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(RopeTokens)(args, begin, end); });
}
}  // namespace nibble::cpu
#endif
