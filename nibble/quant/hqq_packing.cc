// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hqq_packing.h"

#include <cmath>

#include "nibble/format/code_block.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

int64_t codes_per_word(int64_t bits) { return bits == 3 ? 10 : 8 / bits; }

// Calls visit(index of its first element, index of the first word, shift within words) for rows
// [begin, end) of the matrix of groups: their elements lie in words one after the other.
template <typename Visit>
void for_each_hqq_row(const HqqShape& shape, int64_t bits, int64_t begin, int64_t end,
                      const Visit& visit) {
  const int64_t inner = shape.inner(), slabs = codes_per_word(bits);
  const int64_t slab_rows = hqq_word_shape(shape, bits)[0];
  for (int64_t i = begin; i < end; ++i) {
    visit(i * inner, i % slab_rows * inner, bits * (slabs - 1 - i / slab_rows));
  }
}

template <typename Word>
Tensor words_of(const Tensor& code_matrix, const HqqShape& shape, int64_t bits) {
  Tensor words = Tensor::zeros(DTypeOf<Word>::value, hqq_word_shape(shape, bits));
  const auto codes = code_matrix.data<uint8_t>();
  const auto out = words.mutable_data<Word>();
  for_each_hqq_row(shape, bits, 0, shape.outer(), [&](int64_t first, int64_t word, int64_t shift) {
    const uint8_t* from = codes.data() + first;
    Word* to = out.data() + word;
    for (int64_t j = 0; j < shape.inner(); ++j) {
      to[j] = static_cast<Word>(to[j] | from[j] << shift);
    }
  });
  return words;
}

template <typename Word>
Tensor codes_in(const Tensor& words, const HqqShape& shape, int64_t bits, ThreadPool& pool) {
  Tensor matrix = Tensor::empty(DType::kU8, {shape.rows, shape.cols});
  const auto in = words.data<Word>();
  const auto codes = matrix.mutable_data<uint8_t>();
  const int64_t inner = shape.inner();
  const uint32_t mask = (1u << bits) - 1;
  const auto load = [&](int64_t first, int64_t word, int64_t shift) {
    const Word* from = in.data() + word;
    uint8_t* to = codes.data() + first;
    const int64_t count = inner;  // a copy: what bytes are written to could be anything else's
    const uint32_t kept = mask;
    for (int64_t j = 0; j < count; ++j) {
      to[j] = static_cast<uint8_t>(static_cast<uint32_t>(from[j]) >> shift & kept);
    }
  };
  for_row_ranges(&pool, shape.outer(), inner, [&](int64_t begin, int64_t end) {
    for_each_hqq_row(shape, bits, begin, end, load);
  });
  return matrix;
}

}  // namespace

bool HqqShape::fits() const {
  if (rows <= 0 || cols <= 0 || group_size <= 0) return false;
  return (axis == 0 ? rows : cols) % group_size == 0;
}

Shape HqqShape::scales() const {
  if (axis == 0) return {rows / group_size, cols};
  return {rows, cols / group_size};
}

int64_t hqq_stored_bits(double nbits) {
  return nbits > 4 ? 8 : static_cast<int64_t>(std::ceil(nbits));
}

Shape hqq_word_shape(const HqqShape& shape, int64_t bits) {
  return {block_count(shape.outer(), codes_per_word(bits)), shape.inner()};
}

bool fits_hqq_words(const HqqShape& shape, int64_t bits) {
  return bits == 3 || shape.outer() % codes_per_word(bits) == 0;
}

Tensor hqq_words(const Tensor& code_matrix, const HqqShape& shape, int64_t bits) {
  if (bits == 3) return words_of<int32_t>(code_matrix, shape, bits);
  return words_of<uint8_t>(code_matrix, shape, bits);
}

Tensor codes_of_hqq(const Tensor& words, const HqqShape& shape, int64_t bits, ThreadPool& pool) {
  if (bits == 3) return codes_in<int32_t>(words, shape, bits, pool);
  return codes_in<uint8_t>(words, shape, bits, pool);
}

}  // namespace nibble
