// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/float8_block.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/float8.h"
#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

using Values = std::array<float, 256>;

template <typename T>
Values all_values() {
  Values values{};
  for (size_t code = 0; code < values.size(); ++code) {
    values[code] = to_float(T{static_cast<uint8_t>(code)});
  }
  return values;
}

const Values& values_of(DType dtype) {
  static const Values kE4M3 = all_values<fp8_e4m3>(), kE5M2 = all_values<fp8_e5m2>();
  return dtype == DType::kF8E4M3 ? kE4M3 : kE5M2;
}

NIBBLE_VECTORIZED void encode_e4m3(std::span<const float> values, uint8_t* codes) {
  for (size_t i = 0; i < values.size(); ++i) codes[i] = to_fp8_e4m3(values[i]).bits;
}

NIBBLE_VECTORIZED void encode_e5m2(std::span<const float> values, uint8_t* codes) {
  for (size_t i = 0; i < values.size(); ++i) codes[i] = to_fp8_e5m2(values[i]).bits;
}

}  // namespace

bool is_float8_code(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

float largest_float8(DType dtype) { return dtype == DType::kF8E4M3 ? 448.0f : 57344.0f; }

void encode_float8(std::span<const float> values, DType dtype, std::span<uint8_t> codes) {
  if (values.size() != codes.size()) {
    throw Error("values and codes differ in number")
        .expected(std::to_string(values.size()))
        .got(std::to_string(codes.size()));
  }
  if (dtype == DType::kF8E4M3) {
    encode_e4m3(values, codes.data());
  } else {
    encode_e5m2(values, codes.data());
  }
}

void decode_float8_block(const Float8Block& weight, int64_t row, int64_t col,
                         std::span<float> out) {
  const Values& values = values_of(weight.codes.dtype());
  const auto* codes =
      reinterpret_cast<const uint8_t*>(weight.codes.raw()) + row * weight.codes.dim(1);
  const float* scales =
      weight.scales.data<float>().data() + row / weight.block_rows * weight.scales.dim(1);
  const int64_t end = col + static_cast<int64_t>(out.size());
  float* to = out.data();
  while (col < end) {
    // A block is any positive number of columns, so its end may not be representable.
    const int64_t count = std::min(end - col, weight.block_cols - col % weight.block_cols);
    const float scale = scales[col / weight.block_cols];
    for (int64_t i = 0; i < count; ++i) to[i] = values[codes[col + i]] * scale;
    col += count;
    to += count;
  }
}

}  // namespace nibble
