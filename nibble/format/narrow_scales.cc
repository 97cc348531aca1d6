// SPDX-License-Identifier: Apache-2.0
//
// Weight::with_narrow_scales().
#include <algorithm>
#include <bit>
#include <optional>
#include <span>
#include <utility>

#include "nibble/base/half.h"
#include "nibble/base/vectorize.h"
#include "nibble/format/weight.h"

namespace nibble {
namespace {

NIBBLE_VECTORIZED bool all_are_bf16(std::span<const float> values) {
  uint32_t lost = 0;
  for (const float value : values) lost |= std::bit_cast<uint32_t>(value) << 16;
  return lost == 0;
}

NIBBLE_VECTORIZED bool all_are_fp16(std::span<const float> values) {
  uint32_t changed = 0;
  for (const float value : values) {
    changed |= std::bit_cast<uint32_t>(round_to_fp16(value)) ^ std::bit_cast<uint32_t>(value);
  }
  return changed == 0;
}

bool all_are(DType dtype, std::span<const float> values) {
  constexpr size_t kStretch = 4096;  // most tensors that do not fit show it early
  for (size_t begin = 0; begin < values.size(); begin += kStretch) {
    const auto part = values.subspan(begin, std::min(kStretch, values.size() - begin));
    if (!(dtype == DType::kBF16 ? all_are_bf16(part) : all_are_fp16(part))) return false;
  }
  return true;
}

// The 16-bit dtype that holds all elements of all tensors, which are float32, as they are.
std::optional<DType> narrow_dtype(std::initializer_list<const Tensor*> tensors) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    if (std::ranges::all_of(tensors, [&](const Tensor* tensor) {
          return tensor->dtype() == DType::kF32 && all_are(dtype, tensor->data<float>());
        })) {
      return dtype;
    }
  }
  return std::nullopt;
}

template <class T>
bool all_elements_are(const Tensor& tensor, float value) {
  return std::ranges::all_of(tensor.data<T>(), [&](T x) { return to_float(x) == value; });
}

bool zeros_are_middle(const AffineGroup& packed) {
  if (packed.zero_form != ZeroForm::kSubtracted) return false;
  const auto middle = static_cast<float>(int64_t{1} << packed.bits) / 2.0f;
  if (packed.zeros.dtype() == DType::kBF16) return all_elements_are<bf16>(packed.zeros, middle);
  if (packed.zeros.dtype() == DType::kF16) return all_elements_are<fp16>(packed.zeros, middle);
  return std::ranges::all_of(packed.zeros.data<float>(), [&](float x) { return x == middle; });
}

}  // namespace

Weight Weight::with_narrow_scales() const {
  Weight weight = *this;
  if (CodeBlock* packed = std::get_if<CodeBlock>(&weight.packed_); packed && !packed->nested) {
    if (const auto dtype = narrow_dtype({&packed->absmax})) {
      packed->absmax = to_dtype(packed->absmax, *dtype);
    }
  }
  if (AffineGroup* packed = std::get_if<AffineGroup>(&weight.packed_)) {
    packed->zeros_are_middle = zeros_are_middle(*packed);
    if (const auto dtype = narrow_dtype({&packed->scales, &packed->zeros})) {
      packed->scales = to_dtype(packed->scales, *dtype);
      packed->zeros = to_dtype(packed->zeros, *dtype);
    }
  }
  return weight;
}

}  // namespace nibble
