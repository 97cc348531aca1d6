// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq_packing.h"

#include <array>

#include "nibble/format/code_block.h"

namespace nibble {
namespace {

constexpr std::array<size_t, 8> kGemmOrder = {0, 2, 4, 6, 1, 3, 5, 7};

// Calls visit(index of the element, nibble, output, input) for each code of [outputs, inputs].
template <typename Visit>
void for_each_fast_code(int64_t outputs, int64_t inputs, const Visit& visit) {
  for (int64_t block = 0; block < outputs / 4; ++block) {
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t run = i / 64 * 64, j = i % 64;
      for (int nibble = 0; nibble < 4; ++nibble) {
        visit(block * inputs + i, nibble, 4 * block + j / 16,
              run + 32 * (j / 8 % 2) + 8 * nibble + j % 8);
      }
    }
  }
}

}  // namespace

Tensor awq_gemm_words(const Tensor& by_input) {
  Tensor words = Tensor::empty(DType::kI32, {by_input.dim(0), by_input.dim(1) / 8});
  const auto codes = by_input.data<uint8_t>();
  const auto out = words.mutable_data<int32_t>();
  for (size_t word = 0; word < out.size(); ++word) {
    uint32_t value = 0;
    for (size_t nibble = 0; nibble < 8; ++nibble) {
      value |= static_cast<uint32_t>(codes[8 * word + kGemmOrder[nibble]]) << (4 * nibble);
    }
    out[word] = static_cast<int32_t>(value);
  }
  return words;
}

Tensor codes_of_awq_gemm(const Tensor& words) {
  Tensor by_input = Tensor::empty(DType::kU8, {words.dim(0), words.dim(1) * 8});
  const auto in = words.data<int32_t>();
  const auto codes = by_input.mutable_data<uint8_t>();
  for (size_t word = 0; word < in.size(); ++word) {
    const auto value = static_cast<uint32_t>(in[word]);
    for (size_t nibble = 0; nibble < 8; ++nibble) {
      codes[8 * word + kGemmOrder[nibble]] = value >> (4 * nibble) & 15;
    }
  }
  return by_input;
}

int64_t awq_padded_groups(int64_t groups, int64_t group_size) {
  const int64_t run = group_size >= 128 ? 8 : group_size == 64 ? 16 : group_size == 32 ? 32 : 0;
  return run == 0 ? 0 : block_count(groups, run) * run;
}

Tensor awq_fast_words(const Tensor& codes) {
  const int64_t outputs = codes.dim(0), inputs = codes.dim(1);
  Tensor words = Tensor::zeros(DType::kI16, {outputs / 4, inputs});
  const auto in = codes.data<uint8_t>();
  const auto out = words.mutable_data<int16_t>();
  for_each_fast_code(outputs, inputs, [&](int64_t at, int nibble, int64_t output, int64_t input) {
    const int code = in[static_cast<size_t>(output * inputs + input)];
    int16_t& to = out[static_cast<size_t>(at)];
    to = static_cast<int16_t>(to | code << (4 * nibble));
  });
  return words;
}

Tensor codes_of_awq_fast(const Tensor& words) {
  const int64_t outputs = 4 * words.dim(0), inputs = words.dim(1);
  Tensor codes = Tensor::empty(DType::kU8, {outputs, inputs});
  const auto in = words.data<int16_t>();
  const auto out = codes.mutable_data<uint8_t>();
  for_each_fast_code(outputs, inputs, [&](int64_t at, int nibble, int64_t output, int64_t input) {
    const auto word = static_cast<uint16_t>(in[static_cast<size_t>(at)]);
    out[static_cast<size_t>(output * inputs + input)] = word >> (4 * nibble) & 15;
  });
  return codes;
}

}  // namespace nibble
