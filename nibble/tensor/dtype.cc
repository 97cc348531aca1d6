// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/dtype.h"

#include <array>

namespace nibble {
namespace {

struct Row {
  DType dtype;
  int64_t size;
  bool floating;
  std::string_view safetensors, torch;
};

// In the order of the enum.
constexpr std::array<Row, 19> kRows{{
    {DType::kF64, 8, true, "F64", "float64"},
    {DType::kF32, 4, true, "F32", "float32"},
    {DType::kF16, 2, true, "F16", "float16"},
    {DType::kBF16, 2, true, "BF16", "bfloat16"},
    {DType::kF8E4M3, 1, true, "F8_E4M3", "float8_e4m3fn"},
    {DType::kF8E5M2, 1, true, "F8_E5M2", "float8_e5m2"},
    {DType::kF8E4M3Fnuz, 1, true, "F8_E4M3FNUZ", "float8_e4m3fnuz"},
    {DType::kF8E5M2Fnuz, 1, true, "F8_E5M2FNUZ", "float8_e5m2fnuz"},
    {DType::kF8E8M0, 1, true, "F8_E8M0", "float8_e8m0fnu"},
    {DType::kC64, 8, false, "C64", "complex64"},
    {DType::kI64, 8, false, "I64", "int64"},
    {DType::kI32, 4, false, "I32", "int32"},
    {DType::kI16, 2, false, "I16", "int16"},
    {DType::kI8, 1, false, "I8", "int8"},
    {DType::kU64, 8, false, "U64", "uint64"},
    {DType::kU32, 4, false, "U32", "uint32"},
    {DType::kU16, 2, false, "U16", "uint16"},
    {DType::kU8, 1, false, "U8", "uint8"},
    {DType::kBool, 1, false, "BOOL", "bool"},
}};

const Row& row(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

}  // namespace

int64_t size_of(DType dtype) { return row(dtype).size; }
bool is_float(DType dtype) { return row(dtype).floating; }
std::string_view safetensors_name(DType dtype) { return row(dtype).safetensors; }
std::string_view torch_name(DType dtype) { return row(dtype).torch; }

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.safetensors == name) return r.dtype;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_torch(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "fp32" || name == "float") return DType::kF32;
  if (name == "fp16" || name == "half") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  for (const Row& r : kRows) {
    if (r.torch == name) return r.dtype;
  }
  return std::nullopt;
}

}  // namespace nibble
