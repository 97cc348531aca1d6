// SPDX-License-Identifier: Apache-2.0
//
// The element types of checkpoints, under their safetensors and torch names.
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
bool is_float(DType dtype);

std::string_view safetensors_name(DType dtype);  // "F32", "BF16", ...
std::string_view torch_name(DType dtype);        // "float32", "bfloat16", ...

std::optional<DType> dtype_from_safetensors(std::string_view name);
// Accepts a "torch." prefix and the short forms "fp32", "fp16", "bf16", "half", "float".
std::optional<DType> dtype_from_torch(std::string_view name);

}  // namespace nibble
