// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/dense_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/base/error.h"
#include "nibble/base/half.h"
#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

// Calls body(span of T) with the elements of a checked tensor.
template <typename Body>
void with_elements(const Tensor& dense, const Body& body) {
  switch (dense.dtype()) {
    case DType::kF32:
      return body(dense.data<float>());
    case DType::kF16:
      return body(dense.data<fp16>());
    default:
      return body(dense.data<bf16>());
  }
}

template <typename T>
NIBBLE_INLINE void widen_all(std::span<const T> elements, float* out) {
  for (size_t i = 0; i < elements.size(); ++i) out[i] = to_float(elements[i]);
}

NIBBLE_VECTORIZED void widen(std::span<const bf16> elements, float* out) {
  widen_all(elements, out);
}

NIBBLE_VECTORIZED void widen(std::span<const fp16> elements, float* out) {
  widen_all(elements, out);
}

void widen(std::span<const float> elements, float* out) { std::ranges::copy(elements, out); }

}  // namespace

void check_dense_input(const Tensor& dense) {
  if (!dense.defined()) throw Error("there is no weight to quantize");
  const DType dtype = dense.dtype();
  const bool is_weight = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
  if (is_weight && dense.rank() == 2) return;
  throw Error("cannot quantize this tensor")
      .expected("a matrix of float32, float16 or bfloat16")
      .got(fmt::format("{} {}", torch_name(dtype), to_string(dense.shape())));
}

void read_elements(const Tensor& dense, int64_t begin, std::span<float> out) {
  with_elements(dense, [&](auto elements) {
    widen(elements.subspan(static_cast<size_t>(begin), out.size()), out.data());
  });
}

NIBBLE_VECTORIZED void round_to_fp16(std::span<float> values) {
  for (float& x : values) x = round_to_fp16(x);
}

void check_finite(const Tensor& dense) {
  int64_t count = 0;
  int64_t first = 0;
  float value = 0.0f;
  with_elements(dense, [&](auto elements) {
    for (size_t i = 0; i < elements.size(); ++i) {
      const float x = to_float(elements[i]);
      if (std::isfinite(x)) continue;
      if (count++ == 0) {
        first = static_cast<int64_t>(i);
        value = x;
      }
    }
  });
  if (count == 0) return;
  throw Error("weights are not finite")
      .got(fmt::format("{} of {} elements NaN or infinite, the first {} at [{}, {}]", count,
                       dense.numel(), value, first / dense.dim(1), first % dense.dim(1)))
      .hint("the checkpoint is damaged or its training diverged");
}

}  // namespace nibble
