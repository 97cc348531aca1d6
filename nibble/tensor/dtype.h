// SPDX-License-Identifier: Apache-2.0
//
// The element types of checkpoints, under their safetensors and torch names. The types of
// safetensors that are narrower than a byte (F4, F6_E2M3, F6_E3M2) are not among them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nibble {

enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kF8E8M0,  // a power of two: the scale of a block
  kC64,     // two float32: carried, never computed with
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
};

int64_t size_of(DType dtype);  // bytes of one element
bool is_float(DType dtype);    // as torch's is_floating_point: not for complex numbers

std::string_view safetensors_name(DType dtype);  // "F32", "BF16", ...
std::string_view torch_name(DType dtype);        // "float32", "bfloat16", ...

std::optional<DType> dtype_from_safetensors(std::string_view name);
// Accepts a "torch." prefix and the short forms "fp32", "fp16", "bf16", "half", "float".
std::optional<DType> dtype_from_torch(std::string_view name);

}  // namespace nibble
