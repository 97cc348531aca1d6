// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hqq_packing.h"

#include <cmath>

#include "nibble/format/code_block.h"

namespace nibble {
namespace {

int64_t codes_per_word(int64_t bits) { return bits == 3 ? 10 : 8 / bits; }

// Calls visit(index of the element, index of its word, shift within it).
template <typename Visit>
void for_each_hqq_code(const HqqShape& shape, int64_t bits, const Visit& visit) {
  const int64_t inner = shape.inner(), slabs = codes_per_word(bits);
  const int64_t slab_rows = hqq_word_shape(shape, bits)[0];
  for (int64_t i = 0; i < shape.outer(); ++i) {
    const int64_t shift = bits * (slabs - 1 - i / slab_rows), first = i % slab_rows * inner;
    for (int64_t j = 0; j < inner; ++j) {
      visit(static_cast<size_t>(i * inner + j), static_cast<size_t>(first + j), shift);
    }
  }
}

template <typename Word>
Tensor words_of(const Tensor& code_matrix, const HqqShape& shape, int64_t bits) {
  Tensor words = Tensor::zeros(DTypeOf<Word>::value, hqq_word_shape(shape, bits));
  const auto codes = code_matrix.data<uint8_t>();
  const auto out = words.mutable_data<Word>();
  for_each_hqq_code(shape, bits, [&](size_t element, size_t word, int64_t shift) {
    out[word] = static_cast<Word>(out[word] | codes[element] << shift);
  });
  return words;
}

template <typename Word>
Tensor codes_in(const Tensor& words, const HqqShape& shape, int64_t bits) {
  Tensor matrix = Tensor::empty(DType::kU8, {shape.rows, shape.cols});
  const auto in = words.data<Word>();
  const auto codes = matrix.mutable_data<uint8_t>();
  const uint32_t mask = (1u << bits) - 1;
  for_each_hqq_code(shape, bits, [&](size_t element, size_t word, int64_t shift) {
    codes[element] = static_cast<uint8_t>(static_cast<uint32_t>(in[word]) >> shift & mask);
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

Tensor codes_of_hqq(const Tensor& words, const HqqShape& shape, int64_t bits) {
  if (bits == 3) return codes_in<int32_t>(words, shape, bits);
  return codes_in<uint8_t>(words, shape, bits);
}

}  // namespace nibble
