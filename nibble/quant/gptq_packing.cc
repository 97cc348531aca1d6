// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq_packing.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/quant/affine_packing.h"

namespace nibble {
namespace {

// A one in every field of a word.
uint32_t ones_of(int64_t bits) {
  uint32_t ones = 0;
  for (int64_t bit = 0; bit < 32; bit += bits) ones |= 1u << bit;
  return ones;
}

// Adds `step`, 1 or -1 modulo 2^32, to every zero of rows of words.
void add_to_words(Tensor& words, uint32_t step, int64_t bits) {
  for (int32_t& word : words.mutable_data<int32_t>()) {
    word = static_cast<int32_t>(static_cast<uint32_t>(word) + step * ones_of(bits));
  }
}

void add_to_codes(Tensor& codes, uint32_t step, int64_t bits) {
  const uint32_t mask = (1u << bits) - 1;
  for (uint8_t& code : codes.mutable_data<uint8_t>()) {
    code = static_cast<uint8_t>((code + step) & mask);
  }
}

Tensor copy_of(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.dtype(), tensor.shape());
  std::ranges::copy(tensor.data<int32_t>(), copy.mutable_data<int32_t>().begin());
  return copy;
}

bool cross_words(int64_t bits) { return 32 % bits != 0; }

}  // namespace

bool fits_gptq(int64_t rows, int64_t cols, int64_t bits) {
  return cols * bits % 32 == 0 && rows * bits % 32 == 0;
}

Tensor gptq_words(const Tensor& codes) {
  return transposed(codes.reinterpret(DType::kI32, {codes.dim(0), codes.dim(1) / 4}));
}

Tensor codes_of_gptq(const Tensor& words, ThreadPool& pool) {
  return transposed(words, &pool).reinterpret(DType::kU8, {words.dim(1), 4 * words.dim(0)});
}

Tensor gptq_zero_words(const Tensor& zeros, int64_t bits, GptqZeros form) {
  Tensor by_group = transposed(zeros);
  if (form == GptqZeros::kLessOne && cross_words(bits)) add_to_codes(by_group, ~0u, bits);
  const Tensor stream = pack_code_matrix(by_group, bits);
  Tensor words = stream.reinterpret(DType::kI32, {stream.dim(0), stream.dim(1) / 4});
  if (form == GptqZeros::kLessOne && !cross_words(bits)) add_to_words(words, ~0u, bits);
  return words;
}

Tensor zeros_of_gptq(const Tensor& words, int64_t rows, int64_t bits, GptqZeros form) {
  Tensor plain = copy_of(words);
  if (form == GptqZeros::kLessOne && !cross_words(bits)) add_to_words(plain, 1, bits);
  const Tensor stream = plain.reinterpret(DType::kU8, {words.dim(0), 4 * words.dim(1)});
  Tensor by_group = unpack_code_matrix(stream, rows, bits);
  if (form == GptqZeros::kLessOne && cross_words(bits)) add_to_codes(by_group, 1, bits);
  return transposed(by_group);
}

int64_t count_ruined_words(const Tensor& words, int64_t bits) {
  if (cross_words(bits)) return 0;
  // All ones from a field on that is not the last one.
  const uint32_t last_two = ~0u << (32 - 2 * bits);
  return std::ranges::count_if(words.data<int32_t>(), [&](int32_t word) {
    return (static_cast<uint32_t>(word) & last_two) == last_two;
  });
}

Tensor positions_of_groups(const Tensor& g_idx, int64_t groups, int64_t group_size) {
  const auto group_of = g_idx.data<int32_t>();
  const auto cols = static_cast<int64_t>(group_of.size());
  Tensor positions = Tensor::empty(DType::kI32, {cols});
  const auto at = positions.mutable_data<int32_t>();
  std::vector<int64_t> taken(static_cast<size_t>(groups), 0);
  bool in_order = true;
  for (int64_t c = 0; c < cols; ++c) {
    const int64_t named = group_of[static_cast<size_t>(c)];
    const int64_t group = named < 0 ? named + groups : named;
    if (group < 0 || group >= groups) {
      throw Error("g_idx names a group that does not exist")
          .expected(fmt::format("groups of [0, {})", groups))
          .got(fmt::format("{} at {}", named, c));
    }
    int64_t& count = taken[static_cast<size_t>(group)];
    const int64_t position = group * group_size + count++;
    if (count > group_size || position >= cols) {
      throw Error("g_idx gives a group too many columns")
          .expected(fmt::format("at most {}", std::min(group_size, cols - group * group_size)))
          .got(fmt::format("more in group {}", group));
    }
    at[static_cast<size_t>(c)] = static_cast<int32_t>(position);
    in_order = in_order && position == c;
  }
  return in_order ? Tensor() : positions;
}

Tensor groups_of_positions(const Tensor& positions, int64_t cols, int64_t group_size) {
  Tensor g_idx = Tensor::empty(DType::kI32, {cols});
  const auto group_of = g_idx.mutable_data<int32_t>();
  for (int64_t c = 0; c < cols; ++c) {
    const int64_t position =
        positions.defined() ? positions.data<int32_t>()[static_cast<size_t>(c)] : c;
    group_of[static_cast<size_t>(c)] = static_cast<int32_t>(position / group_size);
  }
  return g_idx;
}

}  // namespace nibble
