// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq_packing.h"

#include <algorithm>
#include <array>

#include "nibble/format/code_block.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

constexpr std::array<size_t, 8> kGemmOrder = {0, 2, 4, 6, 1, 3, 5, 7};

// Calls visit(index of the element, nibble, output, input) for each code of four outputs, or of as
// many times four.
template <typename Visit>
void for_each_fast_code(int64_t first_block, int64_t last_block, int64_t inputs,
                        const Visit& visit) {
  for (int64_t block = first_block; block < last_block; ++block) {
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

Tensor row_codes_of_awq_gemm(const Tensor& words, ThreadPool& pool) {
  // A line of the cache of words by as many inputs as fill one with codes: what lies between the
  // rows of the result is a power of two in most models, so they are filled from a block apart.
  constexpr int64_t kWords = 16, kBytes = 32;
  const int64_t inputs = words.dim(0), width = words.dim(1), bytes = block_count(inputs, 2);
  Tensor codes = Tensor::empty(DType::kU8, {8 * width, bytes});
  const auto* in = words.data<int32_t>().data();
  auto* out = codes.mutable_data<uint8_t>().data();
  const auto word_at = [&](int64_t input, int64_t word) {
    return input < inputs ? static_cast<uint32_t>(in[input * width + word]) : 0u;
  };
  const auto read_block = [&](int64_t first_word, int64_t first_byte) {
    std::array<std::array<uint8_t, kBytes>, 8 * kWords> block;
    const int64_t count = std::min(kWords, width - first_word);
    const int64_t filled = std::min(kBytes, bytes - first_byte);
    for (int64_t byte = 0; byte < filled; ++byte) {
      const int64_t input = 2 * (first_byte + byte);
      for (int64_t w = 0; w < count; ++w) {
        const uint32_t low = word_at(input, first_word + w);
        const uint32_t high = word_at(input + 1, first_word + w);
        for (size_t nibble = 0; nibble < 8; ++nibble) {
          block[static_cast<size_t>(8 * w) + kGemmOrder[nibble]][static_cast<size_t>(byte)] =
              static_cast<uint8_t>((low >> (4 * nibble) & 15) | (high >> (4 * nibble) & 15) << 4);
        }
      }
    }
    for (int64_t row = 0; row < 8 * count; ++row) {
      std::copy_n(block[static_cast<size_t>(row)].begin(), filled,
                  out + (8 * first_word + row) * bytes + first_byte);
    }
  };
  for_row_ranges(&pool, block_count(width, kWords), 8 * kWords * inputs,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t block = begin; block < end; ++block) {
                     for (int64_t byte = 0; byte < bytes; byte += kBytes) {
                       read_block(block * kWords, byte);
                     }
                   }
                 });
  return codes;
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
  const auto store = [&](int64_t at, int nibble, int64_t output, int64_t input) {
    const int code = in[static_cast<size_t>(output * inputs + input)];
    int16_t& to = out[static_cast<size_t>(at)];
    to = static_cast<int16_t>(to | code << (4 * nibble));
  };
  for_each_fast_code(0, outputs / 4, inputs, store);
  return words;
}

Tensor codes_of_awq_fast(const Tensor& words, ThreadPool& pool) {
  const int64_t outputs = 4 * words.dim(0), inputs = words.dim(1);
  Tensor codes = Tensor::empty(DType::kU8, {outputs, inputs});
  const auto in = words.data<int16_t>();
  const auto out = codes.mutable_data<uint8_t>();
  const auto load = [&](int64_t at, int nibble, int64_t output, int64_t input) {
    const auto word = static_cast<uint16_t>(in[static_cast<size_t>(at)]);
    out[static_cast<size_t>(output * inputs + input)] = word >> (4 * nibble) & 15;
  };
  for_row_ranges(&pool, outputs / 4, 4 * inputs,
                 [&](int64_t begin, int64_t end) { for_each_fast_code(begin, end, inputs, load); });
  return codes;
}

}  // namespace nibble
