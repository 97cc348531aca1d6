// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/affine_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// The code of a stored column: it lies in one byte or in two neighbours.
uint32_t code_at(const uint8_t* row, int64_t bits, int64_t column) {
  const int64_t bit = column * bits, shift = bit % 8;
  const uint8_t* byte = row + bit / 8;
  uint32_t value = static_cast<uint32_t>(byte[0]) >> shift;
  if (shift + bits > 8) value |= static_cast<uint32_t>(byte[1]) << (8 - shift);
  return value & ((1u << bits) - 1);
}

void check_stream(size_t codes, int64_t bits, size_t bytes) {
  const int64_t expected = affine_row_bytes(static_cast<int64_t>(codes), bits);
  if (std::cmp_equal(bytes, expected)) return;
  throw Error("codes and their row differ in size")
      .expected(fmt::format("{} bytes for {} codes of {} bits", expected, codes, bits))
      .got(std::to_string(bytes));
}

// Stored columns [begin, begin + count) of one group, in order. `code`: of a stored column.
template <typename Code>
void decode_run(const Code& code, int64_t begin, int64_t count, float scale, float zero,
                ZeroForm form, float* out) {
  if (form == ZeroForm::kAdded) {
    for (int64_t i = 0; i < count; ++i) out[i] = scale * code(begin + i) + zero;
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = scale * (code(begin + i) - zero);
  }
}

}  // namespace

int64_t affine_row_bytes(int64_t cols, int64_t bits) {
  return cols / 8 * bits + (cols % 8 * bits + 7) / 8;
}

void pack_codes(std::span<const uint8_t> codes, int64_t bits, std::span<uint8_t> row) {
  check_stream(codes.size(), bits, row.size());
  if (bits == 4) {  // what most files have, and loading them packs the whole model
    const size_t pairs = codes.size() / 2;
    for (size_t k = 0; k < pairs; ++k) {
      row[k] = static_cast<uint8_t>(codes[2 * k] | codes[2 * k + 1] << 4);
    }
    if (codes.size() % 2 != 0) row[pairs] = codes.back();
    return;
  }
  uint32_t pending = 0;
  int64_t held = 0;  // bits of `pending`
  size_t byte = 0;
  for (const uint8_t code : codes) {
    pending |= static_cast<uint32_t>(code) << held;
    for (held += bits; held >= 8; held -= 8) {
      row[byte++] = static_cast<uint8_t>(pending);
      pending >>= 8;
    }
  }
  if (held > 0) row[byte] = static_cast<uint8_t>(pending);
}

void unpack_codes(std::span<const uint8_t> row, int64_t bits, std::span<uint8_t> codes) {
  check_stream(codes.size(), bits, row.size());
  for (size_t k = 0; k < codes.size(); ++k) {
    codes[k] = static_cast<uint8_t>(code_at(row.data(), bits, static_cast<int64_t>(k)));
  }
}

uint8_t encode_affine(float w, float scale, float zero, int64_t bits) {
  const float steps = scale == 0.0f ? 0.0f : std::nearbyint(w / scale);
  const float largest = static_cast<float>((1 << bits) - 1);
  const float code = steps + zero;
  return code > 0.0f ? static_cast<uint8_t>(std::min(code, largest)) : uint8_t{0};  // of NaN: 0
}

void decode_affine_group(const AffineGroup& weight, int64_t row, int64_t col,
                         std::span<float> out) {
  const int64_t groups = weight.scales.dim(1), row_bytes = weight.codes.dim(1);
  const int64_t first_scale = row % weight.scales.dim(0) * groups;
  const auto* codes = static_cast<const uint8_t*>(weight.codes.raw()) + row * row_bytes;
  const int64_t size = weight.group_size, end = col + static_cast<int64_t>(out.size());
  const auto run = [&](int64_t stored, int64_t count, float* to) {
    const int64_t group = first_scale + stored / size;
    float scale = 0.0f, zero = 0.0f;
    read_floats(weight.scales, group, {&scale, 1});
    read_floats(weight.zeros, group, {&zero, 1});
    const auto decode = [&](const auto& code) {
      decode_run(code, stored, count, scale, zero, weight.zero_form, to);
    };
    if (weight.codes.dtype() == DType::kI8) {
      decode([&](int64_t k) { return static_cast<float>(static_cast<int8_t>(codes[k])); });
    } else {
      decode([&](int64_t k) { return static_cast<float>(code_at(codes, weight.bits, k)); });
    }
  };
  float* to = out.data();
  if (weight.positions.defined()) {
    const auto positions = weight.positions.data<int32_t>();
    for (int64_t c = col; c < end; ++c) run(positions[static_cast<size_t>(c)], 1, to++);
    return;
  }
  while (col < end) {
    // group_size is any positive number, so the end of the group may not be representable.
    const int64_t count = std::min(end - col, size - col % size);
    run(col, count, to);
    col += count;
    to += count;
  }
}

}  // namespace nibble
