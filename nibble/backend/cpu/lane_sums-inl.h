// SPDX-License-Identifier: Apache-2.0
//
// The sums over the lanes of several vectors: of four at once where that is cheaper than one by
// one.
#if defined(NIBBLE_CPU_LANE_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_LANE_SUMS_INL_H_
#undef NIBBLE_CPU_LANE_SUMS_INL_H_
#else
#define NIBBLE_CPU_LANE_SUMS_INL_H_
#endif

#include <hwy/highway.h>

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3
HWY_INLINE hn::Vec256<float> folded(hn::Full512<float> d, const float* lanes) {
  const auto v = hn::Load(d, lanes);
  return hn::Add(hn::LowerHalf(v), hn::UpperHalf(hn::Full256<float>(), v));
}
#endif
#if HWY_TARGET <= HWY_AVX2
HWY_INLINE hn::Vec256<float> folded(hn::Full256<float> d, const float* lanes) {
  return hn::Load(d, lanes);
}
#endif

// sums[i] = the sum of lanes [i * Lanes(d), (i + 1) * Lanes(d)), aligned vectors, added in the same
// order whatever kCount is: how many rows are left must not show in a result. `sums` has room for a
// multiple of four.
template <int kCount, class D>
HWY_INLINE void sum_lanes(D d, const float* HWY_RESTRICT lanes, float* HWY_RESTRICT sums) {
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
#if HWY_TARGET <= HWY_AVX2
  HWY_UNROLL(4)
  for (int i = 0; i < kCount; i += 4) {
    const auto of = [&](int k) HWY_ATTR {
      return folded(d, lanes + HWY_MIN(i + k, kCount - 1) * kLanes).raw;
    };
    const __m256 first = _mm256_hadd_ps(of(0), of(1)), second = _mm256_hadd_ps(of(2), of(3));
    const __m256 quarters = _mm256_hadd_ps(first, second);
    _mm_storeu_ps(sums + i,
                  _mm_add_ps(_mm256_castps256_ps128(quarters), _mm256_extractf128_ps(quarters, 1)));
  }
#else
  for (int i = 0; i < kCount; ++i) {
    sums[i] = hn::GetLane(hn::SumOfLanes(d, hn::Load(d, lanes + i * kLanes)));
  }
#endif
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
