// SPDX-License-Identifier: Apache-2.0
//
// The multiply-adds of AVX-512 VNNI, which Highway's target AVX3_DL requires of the processor but
// does not name to the compiler: hence assembly.
#if defined(NIBBLE_CPU_VNNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_VNNI_INL_H_
#undef NIBBLE_CPU_VNNI_INL_H_
#else
#define NIBBLE_CPU_VNNI_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3_DL

// Each 32-bit lane: sum + a0 * b0 + a1 * b1 of int16.
HWY_INLINE hn::Vec512<int32_t> add_products_of_2(hn::Vec512<int16_t> a, hn::Vec512<int16_t> b,
                                                 hn::Vec512<int32_t> sum) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(b.raw), "v"(a.raw));
  return sum;
}

// Each 32-bit lane: sum + the four products of unsigned a with signed b, exactly.
HWY_INLINE hn::Vec512<int32_t> add_products_of_4(hn::Vec512<uint8_t> a, hn::Vec512<int8_t> b,
                                                 hn::Vec512<int32_t> sum) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
}

#endif

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
