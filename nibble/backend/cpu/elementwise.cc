// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/elementwise.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// body(d, i) handles elements [i, i + lanes of d): whole vectors, then single elements.
template <class Body>
HWY_INLINE void for_vectors(int64_t count, const Body& body) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(d, i);
  for (; i < count; ++i) body(one, i);
}

void SiluMul(const float* gate, const float* up, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto x = hn::LoadU(d, gate + i);
    const auto one_plus = hn::Add(hn::Set(d, 1.0f), exp_of(d, hn::Neg(x)));
    hn::StoreU(hn::Mul(hn::Div(x, one_plus), hn::LoadU(d, up + i)), d, y + i);
  });
}

void AddArrays(const float* a, const float* b, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  });
}

void ExpArray(const float* x, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i)
                         HWY_ATTR { hn::StoreU(exp_of(d, hn::LoadU(d, x + i)), d, y + i); });
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(SiluMul);
HWY_EXPORT(AddArrays);
HWY_EXPORT(ExpArray);

void silu_mul(ThreadPool& pool, const float* gate, const float* up, int64_t count, float* y) {
  // An exp and a division cost several times what a plain pass does.
  pool.parallel_for(count, kElementGrain / 4, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SiluMul)(gate + begin, up + begin, end - begin, y + begin);
  });
}

void add(ThreadPool& pool, const float* a, const float* b, int64_t count, float* y) {
  pool.parallel_for(count, kElementGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AddArrays)(a + begin, b + begin, end - begin, y + begin);
  });
}

void exp_array(const float* x, int64_t count, float* y) {
  HWY_DYNAMIC_DISPATCH(ExpArray)(x, count, y);
}
}  // namespace nibble::cpu
#endif
