// SPDX-License-Identifier: Apache-2.0
//
// Loads elements of any dense dtype (and codes of 8 bits) as a vector of floats, exactly as
// base/half.h and base/float8.h convert them. Included once per Highway target.
#if defined(NIBBLE_CPU_FLOAT_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_FLOAT_LOAD_INL_H_
#undef NIBBLE_CPU_FLOAT_LOAD_INL_H_
#else
#define NIBBLE_CPU_FLOAT_LOAD_INL_H_
#endif

#include <hwy/highway.h>

#include "nibble/base/float8.h"
#include "nibble/base/half.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const bf16* from) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const fp16* from) {
#if HWY_TARGET & (HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL | HWY_NEON)
  const hn::Rebind<hwy::float16_t, D> d16;
  return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
#else
  // Without the instruction (and Highway's emulation drops infinities and NaN): the half's fields
  // moved into a float's are its value times 2^-112, subnormals included.
  const hn::Rebind<uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  const auto bits = hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from)));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(d32, 0x8000u)));
  const auto fields = hn::ShiftLeft<13>(hn::And(bits, hn::Set(d32, 0x7fffu)));
  const auto finite = hn::BitCast(d32, hn::Mul(hn::BitCast(d, fields), hn::Set(d, 0x1p112f)));
  const auto special = hn::Or(fields, hn::Set(d32, 0x7f800000u));
  const auto is_special = hn::Ge(hn::BitCast(d, fields), hn::Set(d, 0x1p-96f));
  const auto magnitude =
      hn::IfThenElse(is_special, hn::BitCast(d, special), hn::BitCast(d, finite));
  return hn::BitCast(d, hn::Or(hn::BitCast(d32, magnitude), sign));
#endif
}

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const int8_t* from) {
  const hn::Rebind<int8_t, D> d8;
  const hn::RebindToSigned<D> d32;
  return hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, from)));
}

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const uint8_t* from) {
  const hn::Rebind<uint8_t, D> d8;
  const hn::RebindToSigned<D> d32;
  return hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, from)));
}

// Fields of 8 bits moved into a float's are the value times 2^(bias - 127), subnormals included.
template <int kMantissaBits, class D>
HWY_INLINE hn::Vec<D> load_float8_fields(D d, const uint8_t* from, float factor, uint32_t special) {
  const hn::Rebind<uint8_t, D> d8;
  const hn::RebindToUnsigned<D> d32;
  const auto bits = hn::PromoteTo(d32, hn::LoadU(d8, from));
  const auto sign = hn::ShiftLeft<24>(hn::And(bits, hn::Set(d32, 0x80u)));
  const auto code = hn::And(bits, hn::Set(d32, 0x7fu));
  const auto fields = hn::ShiftLeft<23 - kMantissaBits>(code);
  const auto finite = hn::BitCast(d32, hn::Mul(hn::BitCast(d, fields), hn::Set(d, factor)));
  const auto other = hn::Or(fields, hn::Set(d32, 0x7f800000u));
  const auto is_finite = hn::Lt(code, hn::Set(d32, special));
  return hn::BitCast(d, hn::Or(hn::IfThenElse(is_finite, finite, other), sign));
}

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const fp8_e4m3* from) {
  return load_float8_fields<3>(d, reinterpret_cast<const uint8_t*>(from), 0x1p120f, 0x7f);
}

template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const fp8_e5m2* from) {
  return load_float8_fields<2>(d, reinterpret_cast<const uint8_t*>(from), 0x1p112f, 0x7c);
}

// One element, for tails.
template <class T>
HWY_INLINE float load_float(const T* from) {
  return to_float(*from);
}
HWY_INLINE float load_float(const int8_t* from) { return static_cast<float>(*from); }
HWY_INLINE float load_float(const uint8_t* from) { return static_cast<float>(*from); }

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
