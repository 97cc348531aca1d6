// SPDX-License-Identifier: Apache-2.0
//
// exp, and sine with cosine, of whole vectors. Included once per Highway target.
#if defined(NIBBLE_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_VECTOR_MATH_INL_H_
#undef NIBBLE_CPU_VECTOR_MATH_INL_H_
#else
#define NIBBLE_CPU_VECTOR_MATH_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x to about 1e-7 relative, subnormal results and overflow to infinity included; NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7 (the remainder is
// below 6e-9), 2^n in two factors because n may leave the exponent's range.
template <class D>
HWY_INLINE hn::Vec<D> exp_of(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> d32;
  // e^89 overflows float and e^-104 rounds to zero.
  const auto lowest = hn::Set(d, -104.0f), highest = hn::Set(d, 89.0f);
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  x = hn::Max(lowest, hn::Min(highest, x));  // keep a NaN in their second operand
#else
  x = hn::IfThenElse(hn::Gt(x, highest), highest, x);
  x = hn::IfThenElse(hn::Lt(x, lowest), lowest, x);
#endif
  const auto n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  // ln 2 in two parts; the high one has few bits, so that n * high is exact.
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::Set(d, 1.0f / 5040);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 720));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 120));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 24));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 6));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
#if HWY_TARGET == HWY_SCALAR
  // Converting NaN is undefined in C++; p keeps it.
  const auto exponent = hn::ConvertTo(d32, hn::IfThenElseZero(hn::Eq(n, n), n));
#else
  const auto exponent = hn::ConvertTo(d32, n);
#endif
  const auto half = hn::ShiftRight<1>(exponent);
  const auto bias = hn::Set(d32, 127);
  const auto power0 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto power1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(exponent, half), bias)));
  return hn::Mul(hn::Mul(p, power0), power1);
}

// Sine and cosine in double, absolute error below 1e-13 for |x| up to 10^6 and below 1e-6 for any
// 31-bit angle: x = n pi/2 + r with pi/2 in two parts, then Taylor polynomials for |r| <= pi/4.
template <class D64>
HWY_INLINE void sin_cos(D64 d, hn::Vec<D64> x, hn::Vec<D64>& sine, hn::Vec<D64>& cosine) {
  const auto n = hn::Round(hn::Mul(x, hn::Set(d, 0.63661977236758134308)));
  // The first part has 33 bits: its product with n is exact for n below 2^20.
  auto r = hn::NegMulAdd(n, hn::Set(d, 1.57079632673412561417), x);
  r = hn::NegMulAdd(n, hn::Set(d, 6.07710050650619224932e-11), r);
  const auto r2 = hn::Mul(r, r);
  auto s = hn::Set(d, 1.0 / 6227020800.0);  // 1/13!
  s = hn::MulAdd(s, r2, hn::Set(d, -1.0 / 39916800.0));
  s = hn::MulAdd(s, r2, hn::Set(d, 1.0 / 362880.0));
  s = hn::MulAdd(s, r2, hn::Set(d, -1.0 / 5040.0));
  s = hn::MulAdd(s, r2, hn::Set(d, 1.0 / 120.0));
  s = hn::MulAdd(s, r2, hn::Set(d, -1.0 / 6.0));
  s = hn::MulAdd(hn::Mul(s, r2), r, r);
  auto c = hn::Set(d, -1.0 / 87178291200.0);  // -1/14!
  c = hn::MulAdd(c, r2, hn::Set(d, 1.0 / 479001600.0));
  c = hn::MulAdd(c, r2, hn::Set(d, -1.0 / 3628800.0));
  c = hn::MulAdd(c, r2, hn::Set(d, 1.0 / 40320.0));
  c = hn::MulAdd(c, r2, hn::Set(d, -1.0 / 720.0));
  c = hn::MulAdd(c, r2, hn::Set(d, 1.0 / 24.0));
  c = hn::MulAdd(c, r2, hn::Set(d, -0.5));
  c = hn::MulAdd(c, r2, hn::Set(d, 1.0));
  // The quadrant n mod 4 swaps the two and sets their signs.
  const auto four = hn::Set(d, 4.0);
  const auto quadrant = hn::NegMulAdd(four, hn::Floor(hn::Mul(n, hn::Set(d, 0.25))), n);
  const auto one = hn::Set(d, 1.0), two = hn::Set(d, 2.0), three = hn::Set(d, 3.0);
  const auto swap = hn::Or(hn::Eq(quadrant, one), hn::Eq(quadrant, three));
  const auto minus_sine = hn::Ge(quadrant, two);
  const auto minus_cosine = hn::Or(hn::Eq(quadrant, one), hn::Eq(quadrant, two));
  const auto sine0 = hn::IfThenElse(swap, c, s), cosine0 = hn::IfThenElse(swap, s, c);
  sine = hn::IfThenElse(minus_sine, hn::Neg(sine0), sine0);
  cosine = hn::IfThenElse(minus_cosine, hn::Neg(cosine0), cosine0);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
