// SPDX-License-Identifier: Apache-2.0
//
// The offsets of affine_group's blocks (weight_view.h): what is added to each (code - 8) * absmax.
#if defined(NIBBLE_CPU_BLOCK_OFFSETS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_BLOCK_OFFSETS_INL_H_
#undef NIBBLE_CPU_BLOCK_OFFSETS_INL_H_
#else
#define NIBBLE_CPU_BLOCK_OFFSETS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "nibble/backend/cpu/float_load-inl.h"
#include "nibble/backend/cpu/weight_view.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Of the blocks at `scales` and `zeros`, elements of one dtype.
template <class D, class T>
HWY_INLINE hn::Vec<D> offsets_of(D d, const T* scales, const T* zeros, ZeroForm form) {
  const auto scale = load_floats(d, scales), zero = load_floats(d, zeros);
  const auto middle = hn::Set(d, 8.0f);
  return form == ZeroForm::kAdded ? hn::MulAdd(middle, scale, zero)
                                  : hn::Mul(scale, hn::Sub(middle, zero));
}

// body(scales, zeros), pointers of the weight's dtype to those of block `first`.
template <class Body>
HWY_INLINE auto with_scales(const CodeBlockView& block, int64_t first, const Body& body) {
  const auto run = [&](auto tag) HWY_ATTR {
    using T = decltype(tag);
    return body(static_cast<const T*>(block.absmax) + first,
                static_cast<const T*>(block.zeros) + first);
  };
  if (block.scale_dtype == DType::kF16) return run(fp16{});
  if (block.scale_dtype == DType::kBF16) return run(bf16{});
  return run(0.0f);
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
