// SPDX-License-Identifier: Apache-2.0
//
// The layout CodeBlock: 4-bit codes into a codebook, one absmax per block of consecutive elements
// of the flattened row-major matrix (blocks may cross rows; the last may be short), the absmax
// optionally quantized itself ("double quantization", arXiv 2305.14314, section 3).
// w = codebook[code] * absmax[block]. Element 2i is the high nibble of byte i, element 2i + 1 the
// low nibble; an odd count leaves a last low nibble that is not read.
// The functions here are the specification; every faster path is tested equal to them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "nibble/tensor/tensor.h"

namespace nibble {

// absmax[i] = codebook[codes[i]] * absmax[i / block_size] + offset, in float32.
struct NestedAbsmax {
  Tensor codes;     // [blocks] uint8
  Tensor absmax;    // [ceil(blocks / block_size)] float32
  Tensor codebook;  // [256] float32
  int64_t block_size = 256;
  float offset = 0.0f;
};

struct CodeBlock {
  Tensor codes;     // [ceil(rows * cols / 2)] uint8
  Tensor codebook;  // [16] float32
  int64_t block_size = 64;
  Tensor absmax;  // [blocks] float32, or narrow (weight.h); undefined when nested
  std::optional<NestedAbsmax> nested;  // the absmax, quantized
};

enum class QuantType : uint8_t { kNf4, kFp4 };  // bnb_4bit_quant_type "nf4", "fp4"

// The 16 values in code order (reference: bitsandbytes; NF4: arXiv 2305.14314, appendix E).
const std::array<float, 16>& codebook_of(QuantType type);

// The signed dynamic map of 256 values that double quantization uses (arXiv 1511.04561 as built by
// bitsandbytes' create_dynamic_map: 8 bits, 7 exponent steps), ascending.
const std::array<float, 256>& dynamic_map_signed();

inline int64_t block_count(int64_t elements, int64_t block_size) {
  return elements / block_size + (elements % block_size != 0 ? 1 : 0);
}

// The code of v = x / absmax in [-1, 1], by the CUDA kernels' thresholds ("v > t" goes up, a tie
// stays down); NaN (0 * inf of an all-zero block) gives code 0. Where bitsandbytes' own backends
// disagree (FP4 ties and signed zeros, all-zero blocks), this CUDA rule holds.
uint8_t encode_4bit(QuantType type, float v);

// Quantizes a whole block range: `values` are consecutive elements that begin at a block boundary
// with an even element index; writes ceil(size/2) bytes and one absmax per block. Each code is
// encode_4bit(x * r) with r = 1 / absmax, rounded to float; the unused half of an odd last byte is
// the code of 0 * r. A block whose absmax is subnormal counts as all-zero (absmax 0, codes 0): the
// CUDA kernels flush subnormals. NaN or infinity anywhere in a block makes its absmax non-finite.
// `block_size` must be even and positive.
void encode_code_blocks(QuantType type, int64_t block_size, std::span<const float> values,
                        std::span<uint8_t> codes, std::span<float> absmax);

// The index of the value of dynamic_map_signed() that is nearest to v; a midpoint (in float) goes
// to the even index, NaN (0 * inf of an all-zero block) gives 0: the rule of the CUDA kernels.
uint8_t encode_dynamic_signed(float v);

// Quantizes absmax - offset of a whole tensor in blocks of 256, each code by
// encode_dynamic_signed(x * r) with r = 1 / nested absmax; all-zero blocks as in
// encode_code_blocks().
NestedAbsmax encode_nested_absmax(std::span<const float> absmax, float offset);

// The same with offset = mean_absmax(absmax).
NestedAbsmax encode_nested_absmax(std::span<const float> absmax);

// The mean, summed in double in index order and rounded to float once; 0 of nothing. The last bits
// of torch's own float mean depend on the machine and its thread count, so no order of summation
// equals it everywhere; this one is at least as close to the true mean.
float mean_absmax(std::span<const float> absmax);

// The absmax of blocks [begin, begin + out.size()), nested or not, as float.
void decode_absmax(const CodeBlock& weight, int64_t begin, std::span<float> out);

// Elements [begin, begin + out.size()) of the flattened matrix.
void decode_code_block(const CodeBlock& weight, int64_t begin, std::span<float> out);

}  // namespace nibble
