// SPDX-License-Identifier: Apache-2.0
//
// 8-bit floats by way of float16: moved into a half's fields in one step, a code is its value times
// 2^-8 (float8_e4m3fn) or its value (float8_e5m2), exactly, subnormals included.
#if defined(NIBBLE_CPU_FLOAT8_HALVES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_FLOAT8_HALVES_INL_H_
#undef NIBBLE_CPU_FLOAT8_HALVES_INL_H_
#else
#define NIBBLE_CPU_FLOAT8_HALVES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "nibble/base/float8.h"

#undef NIBBLE_CPU_FLOAT8_HALVES
// Where float16 becomes float by one instruction.
#if HWY_TARGET & (HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL | HWY_NEON)
#define NIBBLE_CPU_FLOAT8_HALVES 1
#else
#define NIBBLE_CPU_FLOAT8_HALVES 0
#endif

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if NIBBLE_CPU_FLOAT8_HALVES

// Two vectors of floats: consecutive codes times float8_unit<T>().
struct Float8Pair {
  hn::Vec<hn::ScalableTag<float>> low, high;
};

template <class T>
constexpr float float8_unit() {
  return std::is_same_v<T, fp8_e4m3> ? 0x1p-8f : 1.0f;
}

// What the loop has seen of NaN: of float8_e4m3fn, where it would become a number.
template <class T>
class Float8Nan {
 public:
  using D16 = hn::Repartition<int16_t, hn::ScalableTag<float>>;

  HWY_INLINE Float8Nan() : largest_(hn::Zero(D16())) {}

  HWY_INLINE void add(hn::Vec<D16> codes) {
    if constexpr (std::is_same_v<T, fp8_e4m3>) {
      largest_ = hn::Max(largest_, hn::And(codes, hn::Set(D16(), int16_t{0x7f})));
    }
  }
  HWY_INLINE bool any() const { return hn::GetLane(hn::MaxOfLanes(D16(), largest_)) == 0x7f; }

 private:
  hn::Vec<D16> largest_;
};

template <class T>
HWY_INLINE Float8Pair load_float8_pair(const T* from, Float8Nan<T>& nan) {
  const hn::ScalableTag<float> d;
  const typename Float8Nan<T>::D16 d16;
  const hn::Rebind<int8_t, decltype(d16)> d8;
  const hn::Rebind<hwy::float16_t, decltype(d)> dh;
  const hn::Half<decltype(d16)> half;
  const auto codes = hn::PromoteTo(d16, hn::LoadU(d8, reinterpret_cast<const int8_t*>(from)));
  nan.add(codes);
  auto bits = hn::ShiftLeft<8>(codes);
  if constexpr (std::is_same_v<T, fp8_e4m3>) {
    // The sign stands twice, the second time in the highest bit of the exponent.
    bits = hn::And(hn::ShiftLeft<7>(codes), hn::Set(d16, static_cast<int16_t>(0xbfff)));
  }
  return {hn::PromoteTo(d, hn::BitCast(dh, hn::LowerHalf(half, bits))),
          hn::PromoteTo(d, hn::BitCast(dh, hn::UpperHalf(half, bits)))};
}

#endif  // NIBBLE_CPU_FLOAT8_HALVES

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
