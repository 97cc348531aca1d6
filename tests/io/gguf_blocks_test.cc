// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/gguf_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "nibble/io/gguf.h"
#include "tests/io/io_testing.h"

namespace nibble {
namespace {

using testing::golden;
using testing::message_of;

std::vector<uint32_t> bits_of(std::span<const float> values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

// The expected floats of all tensors but the last, in file order.
std::vector<float> golden_floats() {
  const std::string bytes = testing::read_file(golden("blocks.bin"));
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

TEST(GgufBlocks, EveryTypeDecodesToTheBitsOfGgufPy) {
  const auto file = GgufFile::open(golden("blocks.gguf"));
  const std::vector<float> expected = golden_floats();
  size_t at = 0, types = 0;
  for (const GgufTensorInfo& info : file.tensors()) {
    if (info.name == "ints") continue;
    SCOPED_TRACE(info.name);
    std::vector<float> decoded(static_cast<size_t>(info.rows * info.columns));
    decode_blocks(info.type, file.raw_bytes(info), decoded);
    ASSERT_LE(at + decoded.size(), expected.size());
    EXPECT_EQ(bits_of(decoded), bits_of(std::span(expected).subspan(at, decoded.size())));
    at += decoded.size();
    ++types;
  }
  EXPECT_EQ(at, expected.size());
  EXPECT_EQ(types, 15u);
}

TEST(GgufBlocks, RefusesSizesThatDoNotFitAndTypesItDoesNotDecode) {
  const std::vector<std::byte> blocks(36);
  std::vector<float> out(64);
  const auto error = [&](GgmlType type, size_t bytes, size_t count) {
    return message_of(
        [&] { decode_blocks(type, std::span(blocks).first(bytes), std::span(out).first(count)); });
  };
  EXPECT_EQ(error(GgmlType::kQ4_0, 36, 64), "no error");
  EXPECT_EQ(error(GgmlType::kQ4_0, 0, 0), "no error");
  EXPECT_EQ(error(GgmlType::kQ4_0, 36, 32),
            "sizes do not fit for decoding blocks: expected whole blocks of 32 elements in 18 "
            "bytes, got 32 elements, 36 bytes");
  EXPECT_EQ(error(GgmlType::kQ4_0, 18, 33),
            "sizes do not fit for decoding blocks: expected whole blocks of 32 elements in 18 "
            "bytes, got 33 elements, 18 bytes");
  EXPECT_EQ(error(GgmlType::kQ4_0, 17, 32),
            "sizes do not fit for decoding blocks: expected whole blocks of 32 elements in 18 "
            "bytes, got 32 elements, 17 bytes");
  EXPECT_EQ(error(GgmlType::kIQ2_XXS, 0, 0),
            "ggml type is not decoded: got IQ2_XXS; start from a file in another type, such as "
            "Q8_0 or Q4_K");
  EXPECT_EQ(error(static_cast<GgmlType>(4), 0, 0),
            "ggml type is not decoded: got type 4; start from a file in another type, such as "
            "Q8_0 or Q4_K");
}

}  // namespace
}  // namespace nibble
