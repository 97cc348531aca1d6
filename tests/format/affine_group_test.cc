// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/affine_group.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/format/weight.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;

std::vector<uint8_t> packed_row(const std::vector<uint8_t>& codes, int64_t bits) {
  std::vector<uint8_t> row(
      static_cast<size_t>(affine_row_bytes(static_cast<int64_t>(codes.size()), bits)), 0xee);
  pack_codes(codes, bits, row);
  return row;
}

std::vector<uint32_t> words(const std::vector<uint8_t>& row) {
  std::vector<uint32_t> out(row.size() / 4);
  std::memcpy(out.data(), row.data(), row.size());
  return out;
}

// The words that GPTQ's packers write for k mod 2^bits.
TEST(AffineGroupCodes, AreALittleEndianStreamOfBits) {
  const auto counting = [](size_t count, uint8_t modulus) {
    std::vector<uint8_t> codes(count);
    for (size_t k = 0; k < count; ++k) codes[k] = static_cast<uint8_t>(k % modulus);
    return codes;
  };
  EXPECT_EQ(words(packed_row(counting(8, 16), 4)), (std::vector<uint32_t>{0x76543210}));
  EXPECT_EQ(words(packed_row(counting(16, 4), 2)), (std::vector<uint32_t>{0xe4e4e4e4}));
  EXPECT_EQ(words(packed_row(counting(32, 8), 3)),
            (std::vector<uint32_t>{0x88fac688, 0xc688fac6, 0xfac688fa}));
  EXPECT_EQ(words(packed_row(counting(4, 255), 8)), (std::vector<uint32_t>{0x03020100}));
}

TEST(AffineGroupCodes, ComeBackForAnyBitsAndCount) {
  Random random(1);
  for (int64_t bits = 1; bits <= 8; ++bits) {
    for (const size_t count : {0, 1, 2, 7, 8, 9, 31, 33, 100}) {
      std::vector<uint8_t> codes(count), back(count);
      for (uint8_t& code : codes) code = static_cast<uint8_t>(random.next() & ((1u << bits) - 1));
      const std::vector<uint8_t> row = packed_row(codes, bits);
      unpack_codes(row, bits, back);
      EXPECT_EQ(back, codes) << bits << " bits, " << count;
      const size_t used = count * static_cast<size_t>(bits) % 8;
      if (used != 0) {
        EXPECT_EQ(row.back() >> used, 0) << "bits behind the last code";
      }
    }
  }
}

TEST(AffineGroupCodes, RefuseARowOfAnotherSize) {
  std::vector<uint8_t> codes(5), row(3);
  EXPECT_EQ(message_of([&] { pack_codes(codes, 3, row); }),
            "codes and their row differ in size: expected 2 bytes for 5 codes of 3 bits, got 3");
  EXPECT_EQ(message_of([&] { unpack_codes(row, 3, codes); }),
            "codes and their row differ in size: expected 2 bytes for 5 codes of 3 bits, got 3");
}

TEST(EncodeAffine, RoundsHalfToEvenAndClamps) {
  EXPECT_EQ(encode_affine(0.25f, 0.5f, 8, 4), 8);
  EXPECT_EQ(encode_affine(0.75f, 0.5f, 8, 4), 10);
  EXPECT_EQ(encode_affine(-0.75f, 0.5f, 8, 4), 6);
  EXPECT_EQ(encode_affine(100.0f, 0.5f, 8, 4), 15);
  EXPECT_EQ(encode_affine(-100.0f, 0.5f, 8, 4), 0);
  EXPECT_EQ(encode_affine(1.0f, 0.0f, 3, 2), 3);
  EXPECT_EQ(encode_affine(1e30f, 1e-30f, 3, 8), 255);
  EXPECT_EQ(encode_affine(NAN, 0.5f, 8, 4), 0);
}

// [2, 5], groups of 2 with a short last one.
AffineGroup parts() {
  AffineGroup packed;
  packed.bits = 3;
  packed.group_size = 2;
  packed.codes = Tensor::zeros(DType::kU8, {2, 2});
  const auto bytes = packed.codes.mutable_data<uint8_t>();
  pack_codes(std::vector<uint8_t>{0, 1, 2, 3, 4}, 3, bytes.first(2));
  pack_codes(std::vector<uint8_t>{7, 6, 5, 4, 3}, 3, bytes.subspan(2));
  packed.scales = Tensor::from<float>({1, 2, 4, 0.5f, 0.25f, 8}, {2, 3});
  packed.zeros = Tensor::from<float>({0, 1, 2, 4, 0.5f, 3}, {2, 3});
  return packed;
}

std::vector<float> floats_of(const Weight& weight) {
  const Tensor all = weight.dequantize(DType::kF32);
  return {all.data<float>().begin(), all.data<float>().end()};
}

TEST(AffineGroup, DecodesGroupsOfAnyLength) {
  const Weight weight = Weight::affine_group(parts(), 5, DType::kBF16);
  EXPECT_EQ(weight.layout(), Layout::kAffineGroup);
  EXPECT_EQ(layout_name(weight.layout()), "affine_group");
  EXPECT_EQ(weight.dequantize().dtype(), DType::kBF16);
  EXPECT_EQ(floats_of(weight), (std::vector<float>{0, 1, 2, 4, 8, 1.5f, 1, 1.125f, 0.875f, 0}));
  EXPECT_EQ(weight.code_bytes(), 4);
  EXPECT_EQ(weight.total_bytes(), 4 + 2 * 24);
}

TEST(AffineGroup, DecodesZerosThatAreAdded) {
  AffineGroup packed = parts();
  packed.zero_form = ZeroForm::kAdded;
  EXPECT_EQ(floats_of(Weight::affine_group(packed, 5, DType::kF16)),
            (std::vector<float>{0, 1, 5, 7, 18, 7.5f, 7, 1.75f, 1.5f, 27}));
}

TEST(AffineGroup, DecodesColumnsThatAreStoredInAnotherOrder) {
  AffineGroup packed = parts();
  packed.positions = Tensor::from<int32_t>({4, 0, 3, 1, 2}, {5});
  const Weight weight = Weight::affine_group(packed, 5, DType::kF16);
  EXPECT_EQ(floats_of(weight), (std::vector<float>{8, 0, 4, 1, 2, 0, 1.5f, 0.875f, 1, 1.125f}));
  EXPECT_EQ(weight.total_bytes(), 4 + 2 * 24 + 20);
}

TEST(AffineGroup, RowsShareScalesWhereGroupsLieAcrossRows) {
  AffineGroup packed = parts();
  packed.scales = Tensor::from<float>({1, 2, 4}, {1, 3});
  packed.zeros = Tensor::from<float>({0, 1, 2}, {1, 3});
  EXPECT_EQ(floats_of(Weight::affine_group(packed, 5, DType::kF16)),
            (std::vector<float>{0, 1, 2, 4, 8, 7, 6, 8, 6, 4}));
}

TEST(AffineGroup, DecodesAnyStretchOfColumns) {
  AffineGroup packed = parts();
  const std::vector<float> all = floats_of(Weight::affine_group(packed, 5, DType::kF16));
  for (int64_t begin = 0; begin <= 5; ++begin) {
    for (int64_t end = begin; end <= 5; ++end) {
      std::vector<float> part(static_cast<size_t>(end - begin));
      decode_affine_group(packed, 1, begin, part);
      EXPECT_EQ(part, std::vector<float>(all.begin() + 5 + begin, all.begin() + 5 + end));
    }
  }
}

TEST(AffineGroup, CodesOfEightBitsMayBeSigned) {
  AffineGroup packed = parts();
  packed.bits = 8;
  packed.codes = Tensor::from<int8_t>({-128, -1, 0, 1, 127, 5, 4, 3, -2, -3}, {2, 5});
  packed.zeros = Tensor::zeros(DType::kF32, {2, 3});
  const Weight weight = Weight::affine_group(packed, 5, DType::kF16);
  EXPECT_EQ(floats_of(weight),
            (std::vector<float>{-128, -1, 0, 2, 508, 2.5f, 2, 0.75f, -0.5f, -24}));
  packed.codes = Tensor::from<uint8_t>({0, 127, 128, 129, 255, 133, 132, 131, 126, 125}, {2, 5});
  packed.zeros = Tensor::from<float>({128, 128, 128, 128, 128, 128}, {2, 3});
  EXPECT_EQ(floats_of(Weight::affine_group(packed, 5, DType::kF16)), floats_of(weight));
}

TEST(AffineGroup, RefusesPartsThatDoNotFit) {
  const auto refused = [](const auto& change) {
    AffineGroup packed = parts();
    change(packed);
    return message_of([&] { Weight::affine_group(packed, 5, DType::kF16); });
  };
  EXPECT_EQ(refused([](AffineGroup& p) { p.bits = 9; }),
            "bits of a code are out of range: expected 1 to 8, got 9");
  EXPECT_EQ(refused([](AffineGroup& p) { p.group_size = 0; }),
            "group size is out of range: expected a positive number, got 0");
  EXPECT_EQ(refused([](AffineGroup& p) { p.codes = Tensor::zeros(DType::kU8, {2, 3}); }),
            "code tensor does not fit the weight: expected uint8 [2, 2], got uint8 [2, 3]");
  EXPECT_EQ(refused([](AffineGroup& p) { p.codes = Tensor::zeros(DType::kI8, {2, 2}); }),
            "code tensor does not fit the weight: expected uint8 [2, 2], got int8 [2, 2]");
  EXPECT_EQ(refused([](AffineGroup& p) { p.scales = Tensor::zeros(DType::kF32, {2, 4}); }),
            "scale tensor does not fit the weight: expected float32 [2, 3], got float32 [2, 4]");
  EXPECT_EQ(refused([](AffineGroup& p) { p.scales = Tensor::zeros(DType::kF32, {3, 3}); }),
            "scales do not fit the weight: expected 1 to 2 rows of scales, got 3");
  EXPECT_EQ(refused([](AffineGroup& p) { p.zeros = Tensor(); }), "zero tensor is missing");
  EXPECT_EQ(refused([](AffineGroup& p) { p.scale_dtype = DType::kI8; }),
            "a weight cannot have this dtype: expected float32, float16 or bfloat16, got int8");
  EXPECT_EQ(
      refused([](AffineGroup& p) { p.positions = Tensor::from<int32_t>({0, 1, 2, 2, 4}, {5}); }),
      "positions of columns are no permutation: expected each of [0, 5) once, got 2 at 3");
  EXPECT_EQ(
      refused([](AffineGroup& p) { p.positions = Tensor::from<int32_t>({0, 1, 2, 3, 5}, {5}); }),
      "positions of columns are no permutation: expected each of [0, 5) once, got 5 at 4");
}

}  // namespace
}  // namespace nibble
