// SPDX-License-Identifier: Apache-2.0
//
// A few tokens as their kernels read them: in parts of four (or two), two and one, and within a
// part vector by vector, so that a part is one stream. Read from where they lie, a power of two
// apart, tokens and weight rows would push each other out of the first-level cache.
#if defined(NIBBLE_CPU_FEW_TOKENS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_FEW_TOKENS_INL_H_
#undef NIBBLE_CPU_FEW_TOKENS_INL_H_
#else
#define NIBBLE_CPU_FEW_TOKENS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Tokens of a part, and rows of a weight that share what is loaded of it: half the registers hold
// their sums.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kPartTokens = 4, kSharingRows = 4;
#else
inline constexpr int kPartTokens = 2, kSharingRows = 4;
#endif

// Calls body.operator()<tokens>(first token) for each part.
template <class Body>
HWY_INLINE void for_parts(int64_t tokens, const Body& body) {
  int64_t t = 0;
  for (; t + kPartTokens <= tokens; t += kPartTokens) body.template operator()<kPartTokens>(t);
  if (t + 2 <= tokens) {
    body.template operator()<2>(t);
    t += 2;
  }
  if (t < tokens) body.template operator()<1>(t);
}

// Calls body.operator()<rows>(first row) for [begin, end). One token takes single rows, as they
// lie in memory.
template <class Body>
HWY_INLINE void for_sharing_rows(int64_t begin, int64_t end, int64_t tokens, const Body& body) {
  int64_t row = begin;
  if (tokens > 1) {
    for (; row + kSharingRows <= end; row += kSharingRows) {
      body.template operator()<kSharingRows>(row);
    }
  }
  for (; row < end; ++row) body.template operator()<1>(row);
}

// The whole vectors of x [tokens, stride]: a part's begin at packed[its first token * whole
// columns], in the order [vector, token, lane].
template <class D, class T>
HWY_INLINE void pack_parts(D d, const T* x, int64_t stride, int64_t tokens, int64_t cols,
                           T* HWY_RESTRICT packed) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), whole = cols / lanes * lanes;
  for_parts(tokens, [&]<int kTokens>(int64_t t) HWY_ATTR {
    T* to = packed + t * whole;
    for (int64_t i = 0; i < whole; i += lanes) {
      for (int k = 0; k < kTokens; ++k, to += lanes) {
        hn::StoreU(hn::LoadU(d, x + (t + k) * stride + i), d, to);
      }
    }
  });
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
