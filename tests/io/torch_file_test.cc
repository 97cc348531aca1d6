// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/torch_file.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "nibble/io/safetensors.h"
#include "tests/io/torch_testing.h"

namespace nibble {
namespace {

using testing::bytes_of;
using testing::golden;
using testing::ScratchFolder;
using testing::write_file;

std::filesystem::path torch_golden(const std::string& name) { return golden("torch") / name; }

std::vector<std::string> names_of(const TensorFile& file) {
  std::vector<std::string> names;
  for (const TensorInfo& info : file.tensors()) names.push_back(info.name);
  return names;
}

class TorchFileGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchFileGolden, HoldsWhatTorchLoads) {
  const TorchFile file = TorchFile::open(torch_golden(std::string(GetParam()) + ".bin"));
  const auto expected =
      SafetensorsFile::open(torch_golden(std::string(GetParam()) + ".safetensors"));
  EXPECT_EQ(file.format(), "pytorch");
  ASSERT_EQ(file.tensors().size(), expected.tensors().size());
  for (const TensorInfo& info : expected.tensors()) {
    SCOPED_TRACE(info.name);
    const TensorInfo* found = file.find(info.name);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->dtype, info.dtype);
    EXPECT_EQ(found->shape, info.shape);
    EXPECT_EQ(found->nbytes, info.nbytes);
    EXPECT_EQ(bytes_of(file.tensor(*found)), bytes_of(expected.tensor(info)));
  }
}

INSTANTIATE_TEST_SUITE_P(TorchFile, TorchFileGolden,
                         ::testing::Values("dtypes", "dtypes_legacy", "views", "views_legacy",
                                           "tied", "tied_legacy", "parameters", "nested",
                                           "nested_legacy", "model_key", "protocol3", "protocol4",
                                           "protocol5"),
                         [](const auto& test) { return test.param; });

TEST(TorchFile, KeepsTheOrderOfTheDict) {
  EXPECT_EQ(names_of(TorchFile::open(torch_golden("tied.bin"))),
            (std::vector<std::string>{"steps", "embed.weight", "norm.weight", "norm.bias",
                                      "blocks.0.weight", "blocks.0.bias", "blocks.1.weight",
                                      "blocks.1.bias", "head.weight"}));
}

TEST(TorchFile, SharedStoragesStayShared) {
  const TorchFile file = TorchFile::open(torch_golden("tied.bin"));
  const TensorInfo &embed = *file.find("embed.weight"), &head = *file.find("head.weight");
  EXPECT_TRUE(head.same_data(embed));
  EXPECT_FALSE(head.same_data(*file.find("norm.weight")));
  EXPECT_EQ(file.tensor(head).raw(), file.tensor(embed).raw());
}

TEST(TorchFile, RowMajorTensorsOfAnArchiveStayMapped) {
  const TorchFile file = TorchFile::open(torch_golden("views.bin"));
  const auto is_mapped = [&](const char* name) {
    return !file.tensor(*file.find(name)).buffer()->writable();
  };
  for (const char* name : {"plain", "rows", "scalar_view"}) EXPECT_TRUE(is_mapped(name)) << name;
  for (const char* name : {"transposed", "columns", "repeated"}) {
    EXPECT_FALSE(is_mapped(name)) << name;
  }
}

TEST(TorchFile, ReadsWhatPython2AndOldTorchWrote) {
  ScratchFolder folder;
  // An OrderedDict from a list of pairs, byte strings as names, a window on a storage.
  const std::string storage_id = std::string("(U\x07storage", 10) +
                                 testing::global("torch", "IntStorage") +
                                 std::string(
                                     "U\x01"
                                     "0U\x03"
                                     "cpuK\x04",
                                     10) +
                                 std::string("(U\x01vK\x01K\x02ttQ", 11);
  const std::string tensor = testing::global("torch._utils", "_rebuild_tensor") + '(' + storage_id +
                             "K\x01(K\x01t(K\x01ttR";
  const std::string pickle = "\x80\x02" + testing::global("collections", "OrderedDict") + "(](](" +
                             std::string("U\x01w", 3) + tensor + "eetR.";
  const std::string keys = std::string(
      "\x80\x02](U\x01"
      "0e.",
      9);
  const std::string data = testing::le<int64_t>(4) + testing::le<int32_t>(10) +
                           testing::le<int32_t>(11) + testing::le<int32_t>(12) +
                           testing::le<int32_t>(13);
  write_file(folder / "old.bin", testing::legacy_head() + pickle + keys + data);
  const TorchFile file = TorchFile::open(folder / "old.bin");
  ASSERT_EQ(names_of(file), (std::vector<std::string>{"w"}));
  // The window begins at element 1 of the storage, the tensor at element 1 of the window.
  EXPECT_EQ(file.tensor(file.tensors()[0]).data<int32_t>()[0], 12);
}

TEST(TorchFile, PassesOverPlainValuesBesideTheTensors) {
  ScratchFolder folder;
  const std::string values[] = {
      testing::global("collections", "Counter") + '(' + '}' + testing::text("a") + "K\x02stR",
      testing::global("torch.serialization", "_get_layout") + '(' + testing::text("torch.strided") +
          "tR",
      testing::global("__builtin__", "bytes") + ")R",
  };
  for (const std::string& value : values) {
    const std::string pickle =
        std::string("\x80\x02}(") + testing::text("beside") + value + testing::text("w") +
        testing::tensor(testing::storage("ByteStorage", 2), 0, {2}, {1}) + "u.";
    write_file(folder / "f.bin", testing::torch_zip(pickle, "ab"));
    EXPECT_EQ(names_of(TorchFile::open(folder / "f.bin")), (std::vector<std::string>{"w"}));
  }
}

TEST(TorchFile, OfAKeyThatComesTwiceTheLastValueCounts) {
  ScratchFolder folder;
  const std::string on = testing::storage("ByteStorage", 4);
  const std::string pickle = std::string("\x80\x02}(") + testing::text("w") +
                             testing::tensor(on, 0, {2}, {1}) + testing::text("v") +
                             testing::tensor(on, 1, {1}, {1}) + testing::text("w") +
                             testing::tensor(on, 2, {2}, {1}) + "u.";
  write_file(folder / "f.bin", testing::torch_zip(pickle, "abcd"));
  const TorchFile file = TorchFile::open(folder / "f.bin");
  EXPECT_EQ(names_of(file), (std::vector<std::string>{"w", "v"}));
  EXPECT_EQ(bytes_of(file.tensor(*file.find("w"))), "cd");
}

}  // namespace
}  // namespace nibble
