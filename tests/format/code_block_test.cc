// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/code_block.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr QuantType kTypes[] = {QuantType::kNf4, QuantType::kFp4};

struct Encoded {
  std::vector<uint8_t> codes;
  std::vector<float> absmax;
};

Encoded encode(QuantType type, int64_t block_size, const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  Encoded out{std::vector<uint8_t>((values.size() + 1) / 2),
              std::vector<float>(static_cast<size_t>(block_count(count, block_size)))};
  encode_code_blocks(type, block_size, values, out.codes, out.absmax);
  return out;
}

uint8_t code_at(const Encoded& encoded, size_t i) {
  return i % 2 == 0 ? encoded.codes[i / 2] >> 4 : encoded.codes[i / 2] & 15;
}

using testing::message_of;

TEST(CodeBlock, CodebooksHaveBitsandbytesBits) {
  const std::array<uint32_t, 16> nf4 = {0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0,
                                        0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000,
                                        0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a,
                                        0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000};
  const std::array<uint32_t, 8> fp4 = {0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000,
                                       0x3eaaaaab, 0x3f000000, 0x3e2aaaab, 0x3e800000};
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(codebook_of(QuantType::kNf4)[i]), nf4[i]) << i;
    const uint32_t sign = i > 8 ? 0x80000000 : 0;  // the second zero is positive, too
    EXPECT_EQ(std::bit_cast<uint32_t>(codebook_of(QuantType::kFp4)[i]), fp4[i % 8] | sign) << i;
  }
}

TEST(CodeBlock, EveryCodeValueEncodesToItself) {
  for (const QuantType type : kTypes) {
    for (uint8_t code = 0; code < 16; ++code) {
      const float value = codebook_of(type)[code];
      const uint8_t expected = value == 0.0f && code == 8 ? 0 : code;
      EXPECT_EQ(encode_4bit(type, value), expected) << int{code};
    }
  }
}

TEST(CodeBlock, ATieStaysDown) {
  struct Row {
    QuantType type;
    float threshold;
    uint8_t at, above;
  };
  const Row rows[] = {
      {QuantType::kNf4, -0.8480964004993439f, 0, 1},
      {QuantType::kNf4, 0.03979014977812767f, 7, 8},
      {QuantType::kNf4, 0.8614784181118011f, 14, 15},
      {QuantType::kFp4, 0.00260417f, 0, 1},
      {QuantType::kFp4, 0.0859375f, 1, 6},
      {QuantType::kFp4, 0.20833333f, 6, 7},
      {QuantType::kFp4, 0.29166667f, 7, 4},
      {QuantType::kFp4, 0.4166667f, 4, 5},
      {QuantType::kFp4, 0.583333f, 5, 2},
      {QuantType::kFp4, 0.8333333f, 2, 3},
      // Down in magnitude: FP4 compares |v|.
      {QuantType::kFp4, -0.8333333f, 10, 11},
      {QuantType::kFp4, -0.00260417f, 8, 9},
  };
  for (const Row& row : rows) {
    const bool by_magnitude = row.type == QuantType::kFp4 && row.threshold < 0;
    const float above = std::nextafter(row.threshold, by_magnitude ? -2.0f : 2.0f);
    EXPECT_EQ(encode_4bit(row.type, row.threshold), row.at) << row.threshold;
    EXPECT_EQ(encode_4bit(row.type, above), row.above) << row.threshold;
  }
}

TEST(CodeBlock, SpecialValuesEncodeAsInTheCudaKernels) {
  EXPECT_EQ(encode_4bit(QuantType::kNf4, kNaN), 0);
  EXPECT_EQ(encode_4bit(QuantType::kFp4, kNaN), 0);
  EXPECT_EQ(encode_4bit(QuantType::kNf4, -0.0f), 7);
  EXPECT_EQ(encode_4bit(QuantType::kFp4, -0.0f), 0);
  EXPECT_EQ(encode_4bit(QuantType::kFp4, -1e-9f), 8);
  EXPECT_EQ(encode_4bit(QuantType::kFp4, 1e-9f), 0);
}

// The branch-free loops over blocks against the one-value function, around every threshold.
TEST(CodeBlock, BlocksEqualTheOneValueFunction) {
  Random random(7);
  for (const QuantType type : kTypes) {
    std::vector<float> values;
    for (int i = 0; i <= 4096; ++i) {
      const float v = static_cast<float>(i) / 2048.0f - 1.0f;
      values.insert(values.end(), {v, std::nextafter(v, 2.0f)});
    }
    for (uint8_t code = 0; code < 16; ++code) {
      for (const float other : codebook_of(type)) {
        float v = (codebook_of(type)[code] + other) / 2;
        for (int i = 0; i < 8; ++i) v = std::nextafter(v, -2.0f);
        for (int i = 0; i < 16; ++i) values.push_back(v = std::nextafter(v, 2.0f));
      }
    }
    for (int i = 0; i < 5000; ++i) values.push_back(2 * static_cast<float>(random.uniform()) - 1);
    for (const int64_t block_size : {2, 32, 64, 256, 4096}) {
      for (size_t odd = 0; odd < 2; ++odd) {
        const std::vector<float> part(values.begin(), values.end() - static_cast<ptrdiff_t>(odd));
        const Encoded got = encode(type, block_size, part);
        for (size_t i = 0; i < part.size(); ++i) {
          const float absmax = got.absmax[i / static_cast<size_t>(block_size)];
          const uint8_t expected =
              absmax == 0.0f ? 0 : encode_4bit(type, part[i] * (1.0f / absmax));
          ASSERT_EQ(code_at(got, i), expected) << part[i] << " of " << absmax;
        }
      }
    }
  }
}

TEST(CodeBlock, ZeroAndSubnormalBlocksGiveZeroBytes) {
  for (const QuantType type : kTypes) {
    for (const float value : {0.0f, -0.0f, 1e-39f}) {
      const Encoded got = encode(type, 32, std::vector<float>(37, value));
      EXPECT_EQ(got.codes, std::vector<uint8_t>(19, 0)) << value;
      EXPECT_EQ(got.absmax, std::vector<float>(2, 0.0f)) << value;
    }
  }
}

TEST(CodeBlock, AnOddCountEndsWithTheCodeOfZero) {
  EXPECT_EQ(encode(QuantType::kNf4, 32, {1.0f}).codes, std::vector<uint8_t>{0xf7});
  EXPECT_EQ(encode(QuantType::kFp4, 32, {1.0f}).codes, std::vector<uint8_t>{0x30});
}

TEST(CodeBlock, AShortLastBlockHasItsOwnAbsmax) {
  std::vector<float> values(70, 8.0f);
  std::fill(values.begin() + 64, values.end(), -0.5f);
  const Encoded got = encode(QuantType::kNf4, 64, values);
  EXPECT_EQ(got.absmax, (std::vector<float>{8.0f, 0.5f}));
  EXPECT_EQ(code_at(got, 0), 15);
  EXPECT_EQ(code_at(got, 69), 0);
}

TEST(CodeBlock, ValuesThatAreNotFiniteShowInTheAbsmax) {
  for (const float bad : {kInfinity, -kInfinity, kNaN}) {
    std::vector<float> values(64, 1.0f);
    values[40] = bad;
    const Encoded got = encode(QuantType::kNf4, 32, values);
    EXPECT_EQ(got.absmax[0], 1.0f);
    EXPECT_FALSE(std::isfinite(got.absmax[1]));
  }
}

TEST(CodeBlock, EncodeRefusesWrongSizes) {
  const std::vector<float> values(8);
  std::vector<uint8_t> codes(4);
  std::vector<float> absmax(1);
  EXPECT_EQ(message_of([&] { encode_code_blocks(QuantType::kNf4, 31, values, codes, absmax); }),
            "cannot quantize with this block size: expected an even positive number, got 31");
  EXPECT_EQ(message_of([&] { encode_code_blocks(QuantType::kNf4, 0, values, codes, absmax); }),
            "cannot quantize with this block size: expected an even positive number, got 0");
  EXPECT_EQ(message_of([&] { encode_code_blocks(QuantType::kNf4, 4, values, codes, absmax); }),
            "codes or absmax have the wrong size: expected 4 bytes and 2 blocks, got 4 and 1");
}

CodeBlock counting_block(int64_t elements, int64_t block_size) {
  CodeBlock packed;
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < elements; i += 2) {
    codes.push_back(static_cast<uint8_t>((i % 16) << 4 | (i + 1) % 16));
  }
  std::vector<float> codebook(16);
  for (size_t i = 0; i < 16; ++i) codebook[i] = static_cast<float>(i) - 4.0f;
  std::vector<float> absmax;
  for (int64_t b = 0; b < block_count(elements, block_size); ++b) {
    absmax.push_back(static_cast<float>(b + 1));
  }
  packed.codes = Tensor::from(codes, {static_cast<int64_t>(codes.size())});
  packed.codebook = Tensor::from(codebook, {16});
  packed.block_size = block_size;
  packed.absmax = Tensor::from(absmax, {static_cast<int64_t>(absmax.size())});
  return packed;
}

TEST(CodeBlock, DecodesAnyRangeUnderAnyBlockSize) {
  constexpr int64_t kElements = 51;
  for (const int64_t block_size : {int64_t{1}, int64_t{3}, int64_t{8}, int64_t{1} << 62}) {
    const CodeBlock packed = counting_block(kElements, block_size);
    for (int64_t begin = 0; begin <= kElements; ++begin) {
      for (int64_t end = begin; end <= kElements; ++end) {
        std::vector<float> out(static_cast<size_t>(end - begin));
        decode_code_block(packed, begin, out);
        for (int64_t i = begin; i < end; ++i) {
          const float expected =
              static_cast<float>(i % 16 - 4) * static_cast<float>(i / block_size + 1);
          ASSERT_EQ(out[static_cast<size_t>(i - begin)], expected) << i;
        }
      }
    }
  }
}

TEST(CodeBlock, DecodeRefusesElementsOutOfRange) {
  const CodeBlock packed = counting_block(8, 4);
  std::vector<float> out(3);
  EXPECT_EQ(message_of([&] { decode_code_block(packed, 6, out); }),
            "elements out of range: expected elements of [0, 8) and 16 code values, got 3 elements "
            "from 6 and 16 code values");
  EXPECT_EQ(message_of([&] { decode_code_block(packed, -1, out); }),
            "elements out of range: expected elements of [0, 8) and 16 code values, got 3 elements "
            "from -1 and 16 code values");
  EXPECT_EQ(message_of([&] { decode_absmax(packed, 1, out); }),
            "blocks out of range: expected blocks of [0, 2), got 3 blocks from 1");
}

TEST(CodeBlock, BlockCountDoesNotOverflow) {
  EXPECT_EQ(block_count(0, 64), 0);
  EXPECT_EQ(block_count(64, 64), 1);
  EXPECT_EQ(block_count(65, 64), 2);
  EXPECT_EQ(block_count(INT64_MAX, INT64_MAX), 1);
  EXPECT_EQ(block_count(INT64_MAX, 1), INT64_MAX);
}

}  // namespace
}  // namespace nibble
