// SPDX-License-Identifier: Apache-2.0
//
// Tensors of more than 2^31 elements, in files that are sparse: they take a few blocks of disk.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "nibble/io/safetensors.h"
#include "nibble/io/torch_file.h"
#include "tests/io/torch_testing.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using testing::ScratchFolder;

constexpr int64_t kElements = (int64_t{1} << 31) + 10;

int64_t peak_kib() {
  struct rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// `pieces` at their offsets, nothing between.
void write_sparse(const fs::path& path,
                  const std::vector<std::pair<int64_t, std::string>>& pieces) {
  std::ofstream out(path, std::ios::binary);
  for (const auto& [offset, bytes] : pieces) {
    out.seekp(offset);
    out << bytes;
  }
}

void expect_last_values(const TensorFile& file, int64_t peak_before) {
  const TensorInfo* info = file.find("w");
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->shape, (Shape{kElements / 2, 2}));
  EXPECT_EQ(info->nbytes, 2 * kElements);
  const Tensor tensor = file.tensor(*info);
  const auto values = tensor.data<int16_t>();
  EXPECT_EQ(values[kElements - 1], 0x4241);
  EXPECT_EQ(values[kElements - 2], 0x4443);
  EXPECT_EQ(values[kElements - 3], 0);
  EXPECT_EQ(tensor.slice_rows(kElements / 2 - 1, kElements / 2).data<int16_t>()[1], 0x4241);
  EXPECT_LT(peak_kib() - peak_before, 64 * 1024);
}

TEST(HugeTensor, OfSafetensorsIsReadPastTwoToThe31) {
  ScratchFolder folder;
  const int64_t peak = peak_kib();
  const std::vector<TensorSpec> specs{{"w", DType::kI16, {kElements / 2, 2}}};
  const std::string header = safetensors_header(specs, {});
  write_sparse(folder / "f", {{0, header}, {std::ssize(header) + 2 * kElements - 4, "CDAB"}});
  expect_last_values(SafetensorsFile::open(folder / "f"), peak);
}

TEST(HugeTensor, OfATorchArchiveIsReadPastTwoToThe31) {
  ScratchFolder folder;
  const int64_t peak = peak_kib();
  const std::string pickle = testing::state_dict(
      testing::tensor(testing::storage("ShortStorage", kElements), 0, {kElements / 2, 2}, {2, 1}));
  testing::ZipDirectory directory;
  directory.add("a/data.pkl", 0, pickle.size());
  std::string start = testing::ZipDirectory::local_header("a/data.pkl") + pickle;
  directory.add("a/data/0", start.size(), 2 * kElements);
  start += testing::ZipDirectory::local_header("a/data/0");
  if (start.size() % 2 != 0) GTEST_FAIL() << "the storage must be aligned to stay mapped";
  const int64_t end = std::ssize(start) + 2 * kElements;
  write_sparse(folder / "f",
               {{0, start}, {end - 4, "CDAB"}, {end, directory.end(static_cast<uint64_t>(end))}});
  expect_last_values(TorchFile::open(folder / "f"), peak);
}

TEST(HugeTensor, OfALegacyTorchFileIsReadPastTwoToThe31) {
  ScratchFolder folder;
  const int64_t peak = peak_kib();
  std::string start = testing::legacy_head() + testing::state_dict(testing::tensor(
                                                   testing::storage("ShortStorage", kElements), 0,
                                                   {kElements / 2, 2}, {2, 1}));
  start += std::string("\x80\x02]", 3) + testing::text("0") + "a.";
  start += testing::le(kElements);
  if (start.size() % 2 != 0) GTEST_FAIL() << "the storage must be aligned to stay mapped";
  const int64_t end = std::ssize(start) + 2 * kElements;
  write_sparse(folder / "f", {{0, start}, {end - 4, "CDAB"}});
  expect_last_values(TorchFile::open(folder / "f"), peak);
}

}  // namespace
}  // namespace nibble
