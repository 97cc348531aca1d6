// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/code_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"
#include "nibble/format/magnitude.h"

namespace nibble {
namespace {

// bitsandbytes rounds its FP4 values {0, 0.0625, 8, 12, 4, 6, 2, 3} / 12 to float; both zeros are
// +0.
constexpr std::array<float, 16> kFp4Codebook = {
    0.0f, 0.0625f / 12,  8.0f / 12,  1.0f,  4.0f / 12,  0.5f,  2.0f / 12,  0.25f,
    0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -0.5f, -2.0f / 12, -0.25f,
};

// Quantiles of N(0, 1), scaled to [-1, 1] (arXiv 2305.14314, appendix E), rounded to float.
constexpr std::array<float, 16> kNf4Codebook = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// Where the CUDA kernels pass from code i to code i + 1. Some are an ulp off the midpoint of the
// two code values: they are the decimals of the kernels' source.
constexpr std::array<float, 15> kNf4Thresholds = {
    -0.8480964004993439f,  -0.6106329262256622f,  -0.4599952697753906f,   -0.33967943489551544f,
    -0.23460740596055984f, -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
    0.1202552504837513f,   0.2035212516784668f,   0.2920137718319893f,    0.3893125355243683f,
    0.5016634166240692f,   0.6427869200706482f,   0.8614784181118011f,
};

// The same over |v| for FP4, whose codes in the order of magnitude are kFp4ByMagnitude.
constexpr std::array<float, 7> kFp4Thresholds = {
    0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f,
};
constexpr std::array<uint8_t, 8> kFp4ByMagnitude = {0, 1, 6, 7, 4, 5, 2, 3};

template <size_t N, size_t... K>
NIBBLE_INLINE int32_t count_below(const std::array<float, N>& thresholds, float v,
                                  std::index_sequence<K...>) {
  return (... + int32_t{v > thresholds[K]});  // spelled out, so that loops over v vectorize
}

// encode_4bit() without tables and branches.
template <QuantType kType>
NIBBLE_INLINE int32_t encode_branch_free(float v) {
  if constexpr (kType == QuantType::kNf4) {
    return count_below(kNf4Thresholds, v, std::make_index_sequence<kNf4Thresholds.size()>());
  } else {
    // kFp4ByMagnitude keeps the lowest bit of the rank and negates the two above it, modulo 4.
    const int32_t rank = count_below(kFp4Thresholds, std::fabs(v),
                                     std::make_index_sequence<kFp4Thresholds.size()>());
    return (rank & 1) | (-(rank & 6) & 6) | (int32_t{v < 0.0f} << 3);
  }
}

// One block, or a part of one with an even number of elements before it.
template <QuantType kType>
NIBBLE_INLINE void encode_run(std::span<const float> values, float reciprocal, uint8_t* bytes) {
  constexpr size_t kTile = 256;  // codes of a tile stay in the first-level cache
  std::array<uint8_t, kTile> codes;
  for (size_t begin = 0; begin < values.size(); begin += kTile) {
    const size_t count = std::min(kTile, values.size() - begin);
    const float* x = values.data() + begin;
    for (size_t i = 0; i < count; ++i) {
      codes[i] = static_cast<uint8_t>(encode_branch_free<kType>(x[i] * reciprocal));
    }
    if (count % 2 != 0) {
      codes[count] = static_cast<uint8_t>(encode_branch_free<kType>(0.0f * reciprocal));
    }
    uint8_t* out = bytes + begin / 2;
    for (size_t i = 0; i < (count + 1) / 2; ++i) {
      out[i] = static_cast<uint8_t>(codes[2 * i] << 4 | codes[2 * i + 1]);
    }
  }
}

template <QuantType kType>
NIBBLE_INLINE void encode_blocks(size_t block_size, std::span<const float> values, uint8_t* codes,
                                 std::span<float> absmax) {
  for (size_t block = 0; block < absmax.size(); ++block) {
    const size_t begin = block * block_size;
    const auto part = values.subspan(begin, std::min(block_size, values.size() - begin));
    const float largest = flush_subnormal(max_magnitude(part));
    absmax[block] = largest;
    if (largest == 0.0f) {
      std::fill_n(codes + begin / 2, (part.size() + 1) / 2, uint8_t{0});
    } else {
      encode_run<kType>(part, 1.0f / largest, codes + begin / 2);
    }
  }
}

NIBBLE_VECTORIZED void encode_nf4(size_t block_size, std::span<const float> values, uint8_t* codes,
                                  std::span<float> absmax) {
  encode_blocks<QuantType::kNf4>(block_size, values, codes, absmax);
}

NIBBLE_VECTORIZED void encode_fp4(size_t block_size, std::span<const float> values, uint8_t* codes,
                                  std::span<float> absmax) {
  encode_blocks<QuantType::kFp4>(block_size, values, codes, absmax);
}

}  // namespace

const std::array<float, 16>& codebook_of(QuantType type) {
  return type == QuantType::kNf4 ? kNf4Codebook : kFp4Codebook;
}

uint8_t encode_4bit(QuantType type, float v) {
  if (type == QuantType::kNf4) {
    uint8_t code = 0;
    while (code < kNf4Thresholds.size() && v > kNf4Thresholds[code]) ++code;
    return code;
  }
  size_t rank = 0;
  while (rank < kFp4Thresholds.size() && std::fabs(v) > kFp4Thresholds[rank]) ++rank;
  return static_cast<uint8_t>(kFp4ByMagnitude[rank] | (v < 0.0f ? 8 : 0));
}

void encode_code_blocks(QuantType type, int64_t block_size, std::span<const float> values,
                        std::span<uint8_t> codes, std::span<float> absmax) {
  if (block_size <= 0 || block_size % 2 != 0) {
    throw Error("cannot quantize with this block size")
        .expected("an even positive number")
        .got(std::to_string(block_size));
  }
  const auto count = static_cast<int64_t>(values.size());
  if (codes.size() != (values.size() + 1) / 2 ||
      std::cmp_not_equal(absmax.size(), block_count(count, block_size))) {
    throw Error("codes or absmax have the wrong size")
        .expected(
            fmt::format("{} bytes and {} blocks", (count + 1) / 2, block_count(count, block_size)))
        .got(fmt::format("{} and {}", codes.size(), absmax.size()));
  }
  const auto encode = type == QuantType::kNf4 ? encode_nf4 : encode_fp4;
  encode(static_cast<size_t>(block_size), values, codes.data(), absmax);
}

void decode_code_block(const CodeBlock& weight, int64_t begin, std::span<float> out) {
  const auto codes = weight.codes.data<uint8_t>();
  const auto codebook = weight.codebook.data<float>();
  const auto count = static_cast<int64_t>(out.size());
  const int64_t capacity = 2 * static_cast<int64_t>(codes.size());
  if (begin < 0 || begin > capacity || count > capacity - begin || codebook.size() != 16) {
    throw Error("elements out of range")
        .expected(fmt::format("elements of [0, {}) and 16 code values", capacity))
        .got(fmt::format("{} elements from {} and {} code values", count, begin, codebook.size()));
  }
  const int64_t end = begin + count;
  for (int64_t i = begin; i < end;) {
    const int64_t block = i / weight.block_size;
    // block_size is any positive number, so the end of the block may not be representable.
    const int64_t run = std::min(end - i, weight.block_size - i % weight.block_size);
    float absmax = 0.0f;
    decode_absmax(weight, block, {&absmax, 1});
    for (const int64_t stop = i + run; i < stop; ++i) {
      const uint8_t byte = codes[static_cast<size_t>(i / 2)];
      const uint8_t code = i % 2 == 0 ? byte >> 4 : byte & 0x0f;
      out[static_cast<size_t>(i - begin)] = codebook[code] * absmax;
    }
  }
}

}  // namespace nibble
