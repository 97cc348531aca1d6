// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/gguf.h"

#include <gtest/gtest.h>

#include "tests/io/io_testing.h"

namespace nibble {
namespace {

using testing::golden;
using testing::message_of;

GgufFile open_golden() { return GgufFile::open(golden("blocks.gguf")); }

TEST(GgufFile, ReadsMetadataOfEveryType) {
  const GgufFile file = open_golden();
  EXPECT_EQ(file.version(), 3);
  EXPECT_EQ(file.alignment(), 32);
  EXPECT_EQ(file.metadata().size(), 13u);
  EXPECT_EQ(file.metadata().front().key(), "general.architecture");
  EXPECT_EQ(file.value("general.architecture").as_string(), "llama");
  EXPECT_EQ(file.value("test.uint32").as_int(), 4'000'000'000);
  EXPECT_EQ(file.value("test.int8").as_int(), -5);
  EXPECT_EQ(file.value("test.float32").as_float(), 0.5);
  EXPECT_EQ(file.value("test.float64").as_float(), 0.1);
  EXPECT_EQ(file.value("test.int8").as_float(), -5.0);
  EXPECT_TRUE(file.value("test.bool").as_bool());
  EXPECT_EQ(file.value("test.string").as_string(), "naïve");
  EXPECT_EQ(file.value("test.strings").as_strings(), (std::vector<std::string>{"a", "", "ccc"}));
  EXPECT_EQ(file.value("test.ints").as_ints(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file.value("test.floats").as_floats(), (std::vector<float>{0.25f, -1.5f}));
  EXPECT_EQ(file.find_value("test.none"), nullptr);

  const GgufValue& nested = file.value("test.nested");
  EXPECT_EQ(nested.type_name(), "array of array");
  EXPECT_EQ(nested.size(), 2);
}

TEST(GgufFile, MetadataOutlivesTheFile) {
  std::vector<GgufValue> values = open_golden().metadata();
  EXPECT_EQ(values.front().as_string(), "llama");
}

TEST(GgufFile, MetadataOfAnotherTypeIsAnError) {
  const GgufFile file = open_golden();
  const auto error = [&](const auto& use) {
    const std::string message = message_of(use, golden("x").parent_path());
    return message.substr(0, message.find(" (at byte"));
  };
  const std::string where = "blocks.gguf: metadata 'test.";
  EXPECT_EQ(error([&] { file.value("test.none"); }), where + "none' is missing");
  EXPECT_EQ(error([&] { file.value("test.string").as_int(); }),
            where + "string' has another type: expected an integer, got string");
  EXPECT_EQ(error([&] { file.value("test.float32").as_int(); }),
            where + "float32' has another type: expected an integer, got float32");
  EXPECT_EQ(error([&] { file.value("test.uint64").as_int(); }),
            where + "uint64' is too large: expected below 2^63, got 18446744073709551615");
  EXPECT_EQ(error([&] { file.value("test.bool").as_float(); }),
            where + "bool' has another type: expected a number, got bool");
  EXPECT_EQ(error([&] { file.value("test.int8").as_bool(); }),
            where + "int8' has another type: expected a bool, got int8");
  EXPECT_EQ(error([&] { file.value("test.ints").as_string(); }),
            where + "ints' has another type: expected a string, got array of int32");
  EXPECT_EQ(error([&] { file.value("test.string").as_strings(); }),
            where + "string' has another type: expected an array of strings, got string");
  EXPECT_EQ(error([&] { file.value("test.ints").as_strings(); }),
            where + "ints' has another type: expected an array of strings, got array of int32");
}

TEST(GgufFile, ShapesAreRowMajorAndDataIsAligned) {
  const GgufFile file = open_golden();
  const GgufTensorInfo& info = file.tensor("rows.Q4_0");
  EXPECT_EQ(info.type, GgmlType::kQ4_0);
  EXPECT_EQ(info.shape, (Shape{2, 64}));
  EXPECT_EQ(info.rows, 2);
  EXPECT_EQ(info.columns, 64);
  EXPECT_EQ(info.nbytes, 2 * 2 * 18);
  for (const GgufTensorInfo& each : file.tensors()) EXPECT_EQ(each.offset % 32, 0) << each.name;
  EXPECT_EQ(file.find("none"), nullptr);
  EXPECT_EQ(message_of([&] { file.tensor("none"); }, golden("x").parent_path()),
            "blocks.gguf: tensor 'none': no such tensor");
}

TEST(GgufFile, RangesOfRowsAreThoseOfTheWhole) {
  const GgufFile file = open_golden();
  const GgufTensorInfo& info = file.tensor("rows.Q6_K");
  const Tensor whole = file.decode("rows.Q6_K", DType::kF32);
  std::vector<float> row(256);
  file.decode_rows(info, 1, 2, row);
  EXPECT_TRUE(std::equal(row.begin(), row.end(), whole.data<float>().begin() + 256));
  file.decode_rows(info, 2, 2, {});
  for (const auto& [begin, end] : {std::pair{-1, 1}, {1, 3}, {2, 1}}) {
    EXPECT_EQ(
        message_of([&] { file.decode_rows(info, begin, end, row); }, golden("x").parent_path()),
        "blocks.gguf: tensor 'rows.Q6_K': rows out of range: expected rows of 2, got [" +
            std::to_string(begin) + ", " + std::to_string(end) + ")");
  }
  EXPECT_EQ(message_of([&] { file.decode_rows(info, 0, 2, row); }, golden("x").parent_path()),
            "blocks.gguf: tensor 'rows.Q6_K': sizes do not fit for decoding blocks: expected whole "
            "blocks of 256 elements in 210 bytes, got 256 elements, 420 bytes");
}

TEST(GgufFile, DecodesToHalvesByRoundingTheFloats) {
  const GgufFile file = open_golden();
  for (const GgufTensorInfo& info : file.tensors()) {
    if (info.name == "ints") continue;
    SCOPED_TRACE(info.name);
    const Tensor floats = file.decode(info.name, DType::kF32);
    EXPECT_EQ(floats.shape(), info.shape);
    for (const DType half : {DType::kBF16, DType::kF16}) {
      EXPECT_EQ(testing::bytes_of(file.decode(info.name, half)),
                testing::bytes_of(to_dtype(floats, half)));
    }
  }
}

TEST(GgufFile, ATensorInTheTargetDTypeIsAWindowOnTheFile) {
  Tensor window;
  {
    const GgufFile file = open_golden();
    window = file.decode("rows.BF16", DType::kBF16);
    EXPECT_TRUE(file.decode("rows.BF16", DType::kF32).buffer()->writable());
  }
  EXPECT_FALSE(window.buffer()->writable());
  EXPECT_EQ(window.data<bf16>().size(), 15u);
}

TEST(GgufFile, OtherTypesAndTargetsAreErrors) {
  const GgufFile file = open_golden();
  EXPECT_EQ(message_of([&] { file.decode("ints", DType::kF32); }, golden("x").parent_path()),
            "blocks.gguf: tensor 'ints': ggml type is not decoded: got I32; start from a file in "
            "another type, such as Q8_0 or Q4_K");
  EXPECT_EQ(message_of([&] { file.decode("rows.F32", DType::kI8); }, golden("x").parent_path()),
            "blocks.gguf: tensor 'rows.F32': tensor cannot be decoded to this dtype: expected "
            "float32, bfloat16 or float16, got int8");
}

}  // namespace
}  // namespace nibble
