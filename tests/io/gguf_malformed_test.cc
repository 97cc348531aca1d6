// SPDX-License-Identifier: Apache-2.0
//
// Every rule of the format, broken one at a time, and the line that the user sees.
#include <gtest/gtest.h>

#include "nibble/io/gguf.h"
#include "tests/io/io_testing.h"

namespace nibble {
namespace {

using testing::le;
using testing::message_of;
using testing::ScratchFolder;
using testing::write_file;

constexpr uint32_t kUint8 = 0, kUint32 = 4, kInt32 = 5, kString = 8, kArray = 9;
constexpr uint32_t kF32 = 0, kQ4_0 = 2;

std::string text(const std::string& value) { return le(uint64_t{value.size()}) + value; }

std::string head(uint64_t tensors, uint64_t metadata, uint32_t version = 3) {
  return "GGUF" + le(version) + le(tensors) + le(metadata);
}

std::string key(const std::string& name, uint32_t type) { return text(name) + le(type); }

std::string array(uint32_t type, uint64_t count) { return le(type) + le(count); }

std::string tensor(const std::string& name, const std::vector<int64_t>& dims, uint32_t type,
                   uint64_t offset) {
  std::string bytes = text(name) + le(static_cast<uint32_t>(dims.size()));
  for (const int64_t d : dims) bytes += le(d);
  return bytes + le(type) + le(offset);
}

// Pads the header to 32 bytes and adds `size` bytes of data.
std::string with_data(std::string header, size_t size) {
  header.append((32 - header.size() % 32) % 32, '\0');
  return header + std::string(size, 'd');
}

std::string one_tensor(const std::vector<int64_t>& dims, uint32_t type, uint64_t offset = 0) {
  return with_data(head(1, 0) + tensor("a", dims, type, offset), 64);
}

std::string deep_array(int levels) {
  std::string bytes = head(0, 1) + key("k", kArray);
  for (int i = 0; i < levels; ++i) bytes += array(kArray, 1);
  return bytes + array(kUint8, 0);
}

struct Case {
  std::string name, bytes, message;
};

const std::vector<Case>& cases() {
  static const std::string kHint = "; the download may be incomplete";
  static const std::vector<Case> kCases{
      {"empty", "",
       "file ends within the GGUF header: expected 4 bytes, got 0 bytes (at byte 0)" + kHint},
      {"magic", "GGML" + le(3u), "file is no GGUF file: expected 'GGUF' at its start (at byte 0)"},
      {"version 1", head(0, 0, 1),
       "GGUF version is not supported: expected 2 or 3, got 1 "
       "(at byte 4)"},
      {"version 4", head(0, 0, 4),
       "GGUF version is not supported: expected 2 or 3, got 4 "
       "(at byte 4)"},
      {"version 0", head(0, 0, 0),
       "GGUF version is not supported: expected 2 or 3, got 0 "
       "(at byte 4)"},
      {"big-endian", head(0, 0, 0x03000000),
       "GGUF file is big-endian: expected a little-endian file (at byte 4); convert it with "
       "gguf-py's gguf-convert-endian"},
      {"header cut", head(0, 0).substr(0, 20),
       "file ends within the GGUF header: expected 8 bytes, got 4 bytes (at byte 16)" + kHint},
      {"2^60 metadata", head(0, uint64_t{1} << 60) + std::string(76, '\0'),
       "file ends within the metadata: expected 1152921504606846976 items of at least 13 bytes, "
       "got 76 bytes (at byte 24)" +
           kHint},
      {"2^60 tensors", head(uint64_t{1} << 60, 0) + std::string(76, '\0'),
       "file ends within the tensor infos: expected 1152921504606846976 items of at least 24 "
       "bytes, got 76 bytes (at byte 24)" +
           kHint},
      {"2^60 strings", head(0, 1) + key("k", kArray) + array(kString, uint64_t{1} << 60),
       "file ends within metadata 'k': expected 1152921504606846976 items of at least 8 bytes, "
       "got 0 bytes (at byte 49)" +
           kHint},
      {"2^62 uint32", head(0, 1) + key("k", kArray) + array(kUint32, uint64_t{1} << 62),
       "file ends within metadata 'k': expected 4611686018427387904 items of at least 4 bytes, "
       "got 0 bytes (at byte 49)" +
           kHint},
      {"long key", head(0, 1) + le(UINT64_MAX) + "12345",
       "file ends within a metadata key: expected 18446744073709551615 bytes, got 5 bytes "
       "(at byte 32)" +
           kHint},
      {"long string", head(0, 1) + key("k", kString) + le(uint64_t{5}) + "1234",
       "file ends within a metadata string: expected 5 bytes, got 4 bytes (at byte 45)" + kHint},
      {"value cut", head(0, 1) + key("k", kUint32) + "123",
       "file ends within a metadata value: expected 4 bytes, got 3 bytes (at byte 37)" + kHint},
      {"unknown value type", head(0, 1) + key("k", 13) + "1234",
       "metadata 'k' has an unknown type: expected 0 to 12, got 13 (at byte 37)"},
      {"unknown element type", head(0, 1) + key("k", kArray) + array(99, 0),
       "metadata 'k' has an unknown type: expected 0 to 12, got 99 (at byte 41)"},
      {"deep", deep_array(9),
       "metadata 'k' is nested too deeply: expected at most 8 levels (at byte 145)"},
      {"key twice", head(0, 2) + key("k", kUint8) + "1" + key("k", kUint8) + "2",
       "metadata key comes twice: got k (at byte 38)"},
      {"alignment 0", head(0, 1) + key("general.alignment", kUint32) + le(0u),
       "metadata 'general.alignment' is malformed: expected a power of two, got 0"},
      {"alignment 24", head(0, 1) + key("general.alignment", kUint32) + le(24u),
       "metadata 'general.alignment' is malformed: expected a power of two, got 24"},
      {"alignment -32", head(0, 1) + key("general.alignment", kInt32) + le(-32),
       "metadata 'general.alignment' is malformed: expected a power of two, got -32"},
      {"alignment text", head(0, 1) + key("general.alignment", kString) + text("32"),
       "metadata 'general.alignment' has another type: expected an integer, got string "
       "(at byte 53)"},
      {"five dimensions", one_tensor({1, 1, 1, 1, 1}, kF32),
       "tensor 'a': tensor has too many dimensions: expected at most 4, got 5 (at byte 33)"},
      {"negative dimension", one_tensor({4, -1}, kF32),
       "tensor 'a': shape has a negative dimension: got [-1, 4]"},
      {"dimensions overflow", one_tensor({int64_t{1} << 32, int64_t{1} << 32}, kF32),
       "tensor 'a': shape has more elements than 63 bits can count: got [4294967296, 4294967296]"},
      {"bytes overflow", one_tensor({int64_t{1} << 61}, kF32),
       "tensor 'a': shape has more elements than 63 bits can count: got [2305843009213693952]"},
      {"unknown tensor type", one_tensor({4}, 4),
       "tensor 'a': tensor has an unknown ggml type: got 4 (at byte 45)"},
      {"half a block", one_tensor({16, 2}, kQ4_0),
       "tensor 'a': rows of the tensor are not whole blocks: expected a multiple of 32 columns for "
       "Q4_0, got 16"},
      {"misaligned", one_tensor({4}, kF32, 16),
       "tensor 'a': tensor offset is malformed: expected a multiple of 32 within the file, got 16 "
       "(at byte 49)"},
      {"offset past the file", one_tensor({4}, kF32, uint64_t{1} << 63),
       "tensor 'a': tensor offset is malformed: expected a multiple of 32 within the file, got "
       "9223372036854775808 (at byte 49)"},
      {"data past the end", one_tensor({17}, kF32),
       "tensor 'a': tensor data reaches past the end of the file: expected 68 bytes from byte 0 of "
       "the data, got 64 bytes of data" +
           kHint},
      {"offset past the data", one_tensor({4}, kF32, 96),
       "tensor 'a': tensor data reaches past the end of the file: expected 16 bytes from byte 96 "
       "of the data, got 64 bytes of data" +
           kHint},
      {"no data at all", head(1, 0) + tensor("a", {4}, kF32, 0),
       "tensor 'a': tensor data reaches past the end of the file: expected 16 bytes from byte 0 of "
       "the data, got 0 bytes of data" +
           kHint},
      {"tensor twice",
       with_data(head(2, 0) + tensor("a", {4}, kF32, 0) + tensor("a", {4}, kF32, 32), 64),
       "tensor 'a': tensor name comes twice (at byte 57)"},
      {"overlap",
       with_data(head(2, 0) + tensor("a", {9}, kF32, 0) + tensor("b", {4}, kF32, 32), 64),
       "tensor 'b': tensor data overlaps another tensor: expected data from byte 132, got 128 "
       "(at byte 128)"},
  };
  return kCases;
}

TEST(GgufFile, SaysWhichRuleAFileBreaks) {
  ScratchFolder folder;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    write_file(folder / "f", c.bytes);
    EXPECT_EQ(message_of([&] { GgufFile::open(folder / "f"); }, folder.path()), "f: " + c.message);
  }
}

void read_array(const GgufValue& value) {
  switch (value.element_type()) {
    case GgufValueType::kString:
      value.as_strings();
      break;
    case GgufValueType::kFloat32:
    case GgufValueType::kFloat64:
      value.as_floats();
      break;
    default:
      value.as_ints();
  }
}

TEST(GgufFile, RefusesEveryTruncationAndSurvivesEveryChangedByte) {
  ScratchFolder folder;
  const std::string whole = testing::read_file(testing::golden("blocks.gguf"));
  const auto used = static_cast<size_t>([&] {
    const auto file = GgufFile::open(testing::golden("blocks.gguf"));
    return file.tensors().back().offset + file.tensors().back().nbytes;
  }());
  for (size_t size = 0; size < used; size += size < 1500 ? 1 : 37) {
    write_file(folder / "f", whole.substr(0, size));
    EXPECT_THROW(GgufFile::open(folder / "f"), Error) << size;
  }
  for (size_t i = 0; i < 1500; ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0xff);
    write_file(folder / "f", changed);
    try {  // Either it is refused or everything in it can be read.
      const auto file = GgufFile::open(folder / "f");
      for (const GgufValue& value : file.metadata()) {
        if (value.type() == GgufValueType::kArray) read_array(value);
      }
      for (const GgufTensorInfo& info : file.tensors()) {
        if (info.name != "ints") file.decode(info.name, DType::kF32);
      }
    } catch (const Error&) {
    }
  }
}

TEST(GgufFile, ReadsVersion2ScalarsAndEmptyTensors) {
  ScratchFolder folder;
  write_file(folder / "f",
             with_data(head(3, 1, 2) + key("general.alignment", kUint32) + le(8u) +
                           tensor("scalar", {}, kF32, 0) + tensor("none", {32, 0}, kQ4_0, 8) +
                           tensor("no columns", {0, 3}, kF32, 8),
                       4));
  const auto file = GgufFile::open(folder / "f");
  EXPECT_EQ(file.version(), 2);
  EXPECT_EQ(file.alignment(), 8);
  EXPECT_EQ(file.decode("scalar", DType::kBF16).shape(), Shape{});
  EXPECT_EQ(file.decode("none", DType::kF32).shape(), (Shape{0, 32}));
  EXPECT_EQ(file.decode("none", DType::kF16).shape(), (Shape{0, 32}));
  EXPECT_EQ(file.decode("no columns", DType::kF16).shape(), (Shape{3, 0}));
  std::vector<float> out(32);
  EXPECT_EQ(message_of([&] { file.decode_rows(file.tensor("none"), 0, 0, out); }, folder.path()),
            "f: tensor 'none': sizes do not fit for decoding blocks: expected whole blocks of 32 "
            "elements in 18 bytes, got 32 elements, 0 bytes");
}

}  // namespace
}  // namespace nibble
