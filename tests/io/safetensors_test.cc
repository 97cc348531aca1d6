// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/io/io_testing.h"

namespace nibble {
namespace {

using testing::bytes_of;
using testing::golden;
using testing::golden_values;
using testing::kAllDTypes;
using testing::le;
using testing::message_of;
using testing::ScratchFolder;
using testing::write_file;

std::string with_length(const std::string& json, const std::string& data = "") {
  return le(uint64_t{json.size()}) + json + data;
}

TEST(SafetensorsFile, ReadsEveryDType) {
  for (const DType dtype : kAllDTypes) {
    const auto file =
        SafetensorsFile::open(golden(std::string(torch_name(dtype)) + ".safetensors"));
    SCOPED_TRACE(torch_name(dtype));
    ASSERT_EQ(file.tensors().size(), 2u);
    const TensorInfo* weight = file.find("weight");
    ASSERT_NE(weight, nullptr);
    EXPECT_EQ(weight->dtype, dtype);
    EXPECT_EQ(weight->shape, (Shape{2, 3}));
    EXPECT_EQ(weight->nbytes, 6 * size_of(dtype));
    EXPECT_EQ(bytes_of(file.tensor(*weight)), bytes_of(golden_values(0, dtype, {2, 3})));
    EXPECT_EQ(bytes_of(file.tensor(*file.find("bias"))), bytes_of(golden_values(1, dtype, {3})));
    EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
    EXPECT_EQ(file.find("weigh"), nullptr);
  }
}

TEST(SafetensorsFile, EveryFloat8ValueConvertsAsInTorch) {
  const auto file = SafetensorsFile::open(golden("float8_values.safetensors"));
  ASSERT_EQ(file.tensors().size(), 15u);
  for (const TensorInfo& info : file.tensors()) {
    if (size_of(info.dtype) != 1) continue;
    SCOPED_TRACE(info.name);
    for (const DType target : {DType::kF32, DType::kF16}) {
      const Tensor expected = to_dtype(
          file.tensor(*file.find(info.name + "." + std::string(torch_name(target)))), DType::kF32);
      const Tensor found = to_dtype(to_dtype(file.tensor(info), target), DType::kF32);
      for (size_t i = 0; i < 256; ++i) {
        const float a = found.data<float>()[i], b = expected.data<float>()[i];
        if (std::isnan(b)) {
          EXPECT_TRUE(std::isnan(a)) << i;
        } else {
          EXPECT_EQ(std::bit_cast<uint32_t>(a), std::bit_cast<uint32_t>(b)) << i;
        }
      }
    }
  }
}

TEST(SafetensorsFile, ListsTensorsInTheOrderOfTheirData) {
  const auto file = SafetensorsFile::open(golden("shapes.safetensors"));
  std::vector<std::string> names;
  int64_t end = file.tensors().front().offset;
  for (const TensorInfo& info : file.tensors()) {
    EXPECT_EQ(info.offset, end);
    end += info.nbytes;
    names.push_back(info.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"empty.rows", "z.scalar", "B.upper", "a.deep",
                                             "empty.both", "byte"}));
  EXPECT_EQ(end, static_cast<int64_t>(std::filesystem::file_size(file.path())));
  EXPECT_TRUE(file.find("z.scalar")->shape.empty());
  EXPECT_EQ(file.tensor(*file.find("z.scalar")).numel(), 1);
  EXPECT_EQ(file.tensor(*file.find("empty.rows")).shape(), (Shape{0, 3}));
  EXPECT_EQ(file.tensor(*file.find("empty.both")).nbytes(), 0);
}

TEST(SafetensorsFile, ReadsEscapesInNamesAndMetadata) {
  const auto file = SafetensorsFile::open(golden("metadata.safetensors"));
  EXPECT_NE(file.find("quote \" and \n and é"), nullptr);
  EXPECT_EQ(file.metadata().at("key \\ é"), "tab\t\"\x01\x7f");
}

TEST(SafetensorsFile, TensorsOutliveTheFileAndAreReadOnly) {
  Tensor tensor;
  {
    const auto file = SafetensorsFile::open(golden("float32.safetensors"));
    tensor = file.tensor(*file.find("weight"));
  }
  EXPECT_EQ(bytes_of(tensor), bytes_of(golden_values(0, DType::kF32, {2, 3})));
  EXPECT_EQ(message_of([&] { tensor.mutable_data<float>(); }), "tensor is mapped read-only");
}

TEST(SafetensorsFile, CopiesDataThatIsNotAlignedToItsDType) {
  ScratchFolder folder;
  // 3 bytes before the floats, and a header without padding.
  const std::string json = R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                           R"("f":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}})";
  write_file(folder / "odd.safetensors", with_length(json, "abc" + le(1.5f) + le(-2.0f)));
  const auto file = SafetensorsFile::open(folder / "odd.safetensors");
  ASSERT_NE(file.find("f")->offset % 4, 0);
  const Tensor floats = file.tensor(*file.find("f"));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(floats.raw()) % alignof(float), 0u);
  EXPECT_EQ(floats.data<float>()[0], 1.5f);
  EXPECT_EQ(floats.data<float>()[1], -2.0f);
  // Bytes are always aligned: a window, not a copy.
  EXPECT_FALSE(file.tensor(*file.find("b")).buffer()->writable());
}

TEST(SafetensorsFile, AcceptsAnEmptyFileOfTensorsAndUnknownFields) {
  ScratchFolder folder;
  write_file(folder / "none.safetensors", with_length("{}      "));
  EXPECT_TRUE(SafetensorsFile::open(folder / "none.safetensors").tensors().empty());
  write_file(folder / "more.safetensors",
             with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":[1]}})", "z"));
  EXPECT_EQ(bytes_of([&] {
              const auto file = SafetensorsFile::open(folder / "more.safetensors");
              return file.tensor(file.tensors()[0]);
            }()),
            "z");
}

TEST(SafetensorsHeader, EqualsTheOfficialSerializer) {
  const auto header_in_file = [](const std::string& name) {
    const std::string bytes = testing::read_file(golden(name));
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    return bytes.substr(0, sizeof(length) + length);
  };
  std::vector<TensorSpec> mixed;
  for (size_t i = 0; i < kAllDTypes.size(); ++i) {
    mixed.push_back({(i < 10 ? "t0" : "t") + std::to_string(i),
                     kAllDTypes[i],
                     {static_cast<int64_t>(i % 4 + 1)}});
  }
  EXPECT_EQ(safetensors_header(mixed, {}), header_in_file("mixed.safetensors"));

  const std::vector<TensorSpec> quotes{{"quote \" and \n and é", DType::kF32, {1}}};
  EXPECT_EQ(safetensors_header(quotes, {{"key \\ é", "tab\t\"\x01\x7f"}}),
            header_in_file("metadata.safetensors"));
}

TEST(SafetensorsHeader, RefusesNamesThatNoReaderWouldTake) {
  using Specs = std::vector<TensorSpec>;
  EXPECT_EQ(message_of([] {
              safetensors_header(Specs{{"a", DType::kU8, {1}}, {"a", DType::kI8, {1}}}, {});
            }),
            "tensor 'a': tensor name comes twice");
  EXPECT_EQ(message_of([] { safetensors_header(Specs{{"__metadata__", DType::kU8, {}}}, {}); }),
            "tensor '__metadata__': tensor name is reserved");
  EXPECT_EQ(message_of([] { safetensors_header(Specs{{"\xff", DType::kU8, {}}}, {}); }),
            "text cannot stand in a safetensors header: expected UTF-8, got \\xff");
  EXPECT_EQ(message_of([] {
              safetensors_header(Specs{{std::string(100'000'000, 'n'), DType::kU8, {}}}, {});
            }),
            "safetensors header would be too long: expected at most 100000000 bytes, "
            "got 100000056; write more, smaller shards");
}

}  // namespace
}  // namespace nibble
