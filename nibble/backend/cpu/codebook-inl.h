// SPDX-License-Identifier: Apache-2.0
//
// Sixteen float32 values looked up by 4-bit codes with byte shuffles: one 16-byte table per byte of
// a float, and two rounds of interleaving to put the four bytes of each value together again. Exact
// for any codebook. Needs vectors of at least 16 bytes (not the scalar target).
#if defined(NIBBLE_CPU_CODEBOOK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_CODEBOOK_INL_H_
#undef NIBBLE_CPU_CODEBOOK_INL_H_
#else
#define NIBBLE_CPU_CODEBOOK_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// D8 is a tag of uint8_t with 16 or 32 lanes.
template <class D8>
struct Codebook {
  using V8 = hn::Vec<D8>;
  using DF = hn::Repartition<float, D8>;
  using VF = hn::Vec<DF>;
  // Four vectors of floats from one vector of codes. Within each 16-byte block b of codes, float
  // vector j holds the values of codes 4j .. 4j + 3 in its own 16-byte block b.
  struct Values {
    VF v0, v1, v2, v3;
  };

  explicit HWY_INLINE Codebook(const float* values) {
    alignas(16) uint8_t planes[4][16];
    for (int code = 0; code < 16; ++code) {
      uint32_t bits;
      std::memcpy(&bits, values + code, sizeof(bits));
      for (int byte = 0; byte < 4; ++byte) {
        planes[byte][code] = static_cast<uint8_t>(bits >> (8 * byte));
      }
    }
    const D8 d;
    plane0 = hn::LoadDup128(d, planes[0]);
    plane1 = hn::LoadDup128(d, planes[1]);
    plane2 = hn::LoadDup128(d, planes[2]);
    plane3 = hn::LoadDup128(d, planes[3]);
  }

  HWY_INLINE Values lookup(V8 codes) const {
    const D8 d;
    const hn::Repartition<uint16_t, D8> d16;
    const DF df;
    const auto byte0 = hn::TableLookupBytes(plane0, codes);
    const auto byte1 = hn::TableLookupBytes(plane1, codes);
    const auto byte2 = hn::TableLookupBytes(plane2, codes);
    const auto byte3 = hn::TableLookupBytes(plane3, codes);
    const auto low_lower = hn::BitCast(d16, hn::InterleaveLower(d, byte0, byte1));
    const auto low_upper = hn::BitCast(d16, hn::InterleaveUpper(d, byte0, byte1));
    const auto high_lower = hn::BitCast(d16, hn::InterleaveLower(d, byte2, byte3));
    const auto high_upper = hn::BitCast(d16, hn::InterleaveUpper(d, byte2, byte3));
    return {hn::BitCast(df, hn::InterleaveLower(d16, low_lower, high_lower)),
            hn::BitCast(df, hn::InterleaveUpper(d16, low_lower, high_lower)),
            hn::BitCast(df, hn::InterleaveLower(d16, low_upper, high_upper)),
            hn::BitCast(df, hn::InterleaveUpper(d16, low_upper, high_upper))};
  }

  V8 plane0, plane1, plane2, plane3;  // byte 0 (lowest) .. 3 of each value
};

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
