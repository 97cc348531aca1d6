// SPDX-License-Identifier: Apache-2.0
//
// 4-bit codes as int16 values: two byte shuffles per vector of codes, one for each byte of a value,
// and one round of interleaving. The codebook is scaled so that its largest magnitude becomes
// `limit`, so any codebook serves, with each value off by at most half a step.
#if defined(NIBBLE_CPU_CODE_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_CODE_PAIRS_INL_H_
#undef NIBBLE_CPU_CODE_PAIRS_INL_H_
#else
#define NIBBLE_CPU_CODE_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 32 bytes: a group of 128 elements would shut out widths like 576.
using CodeBytes = hn::CappedTag<uint8_t, 32>;

struct CodePairs {
  using V8 = hn::Vec<CodeBytes>;
  using D16 = hn::Repartition<int16_t, CodeBytes>;
  using V16 = hn::Vec<D16>;
  // The values of one vector of bytes: of their even elements (high nibbles) e0, e1, then of the
  // odd ones. Within each 16-byte block of bytes, the first eight belong to vector 0.
  struct Values {
    V16 even0, even1, odd0, odd1;
  };

  // `largest` is the largest magnitude of the sixteen values, finite.
  HWY_INLINE CodePairs(const float* values, float largest, float limit) {
    alignas(16) uint8_t low_bytes[16], high_bytes[16];
    const float scale = largest > 0.0f ? limit / largest : 0.0f;
    for (int code = 0; code < 16; ++code) {
      const auto bits = static_cast<uint16_t>(std::lrint(values[code] * scale));
      low_bytes[code] = static_cast<uint8_t>(bits);
      high_bytes[code] = static_cast<uint8_t>(bits >> 8);
    }
    low = hn::LoadDup128(CodeBytes(), low_bytes);
    high = hn::LoadDup128(CodeBytes(), high_bytes);
  }

  HWY_INLINE Values look_up(V8 packed) const {
    const CodeBytes d8;
    const D16 d16;
    const auto even = hn::ShiftRight<4>(packed);
    const auto odd = hn::And(packed, hn::Set(d8, uint8_t{0x0f}));
    const auto even_low = hn::TableLookupBytes(low, even);
    const auto even_high = hn::TableLookupBytes(high, even);
    const auto odd_low = hn::TableLookupBytes(low, odd);
    const auto odd_high = hn::TableLookupBytes(high, odd);
    return {hn::BitCast(d16, hn::InterleaveLower(d8, even_low, even_high)),
            hn::BitCast(d16, hn::InterleaveUpper(d8, even_low, even_high)),
            hn::BitCast(d16, hn::InterleaveLower(d8, odd_low, odd_high)),
            hn::BitCast(d16, hn::InterleaveUpper(d8, odd_low, odd_high))};
  }

  V8 low, high;  // bytes of the values
};

// Stores int16 of consecutive bytes' nibbles, `first` those of the lower half of a vector of bytes,
// in the order of CodePairs::Values: vectors 0 and 1.
template <class V16>
HWY_INLINE void store_as_looked_up(CodePairs::D16 d16, V16 first, V16 second, int16_t* to) {
  const size_t lanes = hn::Lanes(d16);
  if (lanes == 8) {  // one 16-byte block
    hn::Store(first, d16, to);
    hn::Store(second, d16, to + 8);
    return;
  }
  hn::Store(hn::ConcatLowerLower(d16, second, first), d16, to);
  hn::Store(hn::ConcatUpperUpper(d16, second, first), d16, to + lanes);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
