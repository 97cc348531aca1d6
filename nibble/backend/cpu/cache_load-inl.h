// SPDX-License-Identifier: Apache-2.0
//
// Cache rows as floats, as format/cache_rows.h decodes them. Included once per Highway target.
#if defined(NIBBLE_CPU_CACHE_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_CACHE_LOAD_INL_H_
#undef NIBBLE_CPU_CACHE_LOAD_INL_H_
#else
#define NIBBLE_CPU_CACHE_LOAD_INL_H_
#endif

#include <hwy/highway.h>

#include "nibble/backend/cpu/attention_task.h"
#include "nibble/backend/cpu/float_load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_INLINE void decode_elements(const T* HWY_RESTRICT from, int64_t count, float scale,
                                float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(load_floats(d, from + i), factor), d, to + i);
  }
  for (; i < count; ++i) to[i] = load_float(from + i) * scale;
}

// Rows [position, position + count) as floats [count, head_dim].
HWY_INLINE void decode_rows(const HeadRows& rows, int64_t position, int64_t count, int64_t head_dim,
                            float* to) {
  switch (rows.dtype) {
    case DType::kI8:
      for (int64_t i = 0; i < count; ++i) {
        decode_elements(rows.row<int8_t>(position + i, head_dim), head_dim,
                        rows.scales[position + i], to + i * head_dim);
      }
      return;
    case DType::kF16:
      return decode_elements(rows.row<fp16>(position, head_dim), count * head_dim, 1.0f, to);
    default:
      return decode_elements(rows.row<float>(position, head_dim), count * head_dim, 1.0f, to);
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
