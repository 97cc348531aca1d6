// SPDX-License-Identifier: Apache-2.0
//
// The tensor types of ggml and how their blocks decode to float: pure functions over spans, the
// same fp32 operations in the same order as ggml's reference dequantization, so results are equal
// bit for bit. Knows no file.
//
// Sources: ggml (ggml-common.h for block layouts, ggml-quants.c for the arithmetic).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nibble {

// Numbers as in a GGUF file. Values outside this list can occur in files: see ggml_type_traits().
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
};

struct GgmlTypeTraits {
  GgmlType type;
  std::string_view name;  // "Q4_K"
  int64_t block_size;     // elements per block
  int64_t block_bytes;    // bytes per block
  // Decodes out.size() / block_size blocks; nullptr when this type is not decoded.
  void (*decode)(std::span<const std::byte> blocks, std::span<float> out);
};

// nullptr for a number that is no known type.
const GgmlTypeTraits* ggml_type_traits(GgmlType type);

// Decodes whole blocks to out.size() floats. Throws Error when the type is not decoded or when the
// sizes do not agree.
void decode_blocks(GgmlType type, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace nibble
