// SPDX-License-Identifier: Apache-2.0
//
// Every rule of the format, broken one at a time, and the line that the user sees.
#include <gtest/gtest.h>

#include "nibble/io/safetensors.h"
#include "tests/io/io_testing.h"

namespace nibble {
namespace {

using testing::le;
using testing::message_of;
using testing::ScratchFolder;
using testing::write_file;

struct Case {
  std::string name;
  std::string bytes;
  std::string message;  // without the file name that opens it
};

// A whole file: length, header, data.
std::string file(const std::string& json, size_t data_bytes = 0) {
  return le(uint64_t{json.size()}) + json + std::string(data_bytes, 'd');
}

// A file with one tensor 'a' of these fields and 8 bytes of data.
std::string entry(const std::string& fields) { return file(R"({"a":{)" + fields + "}}", 8); }

std::string two(const std::string& range_a, const std::string& range_b) {
  return file(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + range_a +
                  R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + range_b + "}}",
              8);
}

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases{
      {"empty", "",
       "file is too short for safetensors: expected at least 8 bytes, got 0; "
       "the download may be incomplete"},
      {"seven bytes", "1234567",
       "file is too short for safetensors: expected at least 8 bytes, got 7; "
       "the download may be incomplete"},
      {"LFS pointer", "version https://git-lfs.github.com/spec/v1\n",
       "file is a Git LFS pointer, not safetensors; run `git lfs pull`"},
      {"long header", le(uint64_t{100'000'001}),
       "safetensors header is too long: expected at most 100000000 bytes, got 100000001 "
       "(at byte 0); this is probably no safetensors file"},
      {"largest length", le(UINT64_MAX),
       "safetensors header is too long: expected at most 100000000 bytes, got "
       "18446744073709551615 (at byte 0); this is probably no safetensors file"},
      {"header cut", le(uint64_t{10}) + "{}",
       "safetensors header reaches past the end of the file: expected at least 18 bytes, got 10; "
       "the download may be incomplete"},
      {"no header", file(""),
       "safetensors header is no JSON object: expected '{', got an empty header (at byte 8)"},
      {"space first", file(" {}"),
       "safetensors header is no JSON object: expected '{', got ' ' (at byte 8)"},
      {"array", file("[]"),
       "safetensors header is no JSON object: expected '{', got '[' (at byte 8)"},
      {"object not closed", file("{"),
       "safetensors header is not valid JSON: got The JSON document has an improper "
       "structure: missing or superfluous commas, braces, missing keys, etc. (at byte 8)"},
      {"not UTF-8", file("{\"\xff\":1}"),
       "safetensors header is not valid JSON: got The input is not valid UTF-8 "
       "(at byte 8)"},
      {"deep", file(R"({"a":[[[[[[[[[]]]]]]]]]})"),
       "safetensors header is not valid JSON: got The JSON document was too deep (too "
       "many nested objects and arrays) (at byte 8)"},
      {"tensor twice",
       file(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
            R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
       "tensor 'a': name comes twice in the safetensors header"},
      {"metadata twice", file(R"({"__metadata__":{},"__metadata__":{}})"),
       "tensor '__metadata__': name comes twice in the safetensors header"},
      {"metadata no object", file(R"({"__metadata__":1})"),
       "__metadata__ of the safetensors header is malformed: expected an object of strings"},
      {"metadata no string", file(R"({"__metadata__":{"k":1}})"),
       "__metadata__ of the safetensors header is malformed: expected a string for 'k'"},
      {"metadata key twice", file(R"({"__metadata__":{"k":"1","k":"2"}})"),
       "__metadata__ of the safetensors header has a key twice: got k"},
      {"entry no object", file(R"({"a":1})"),
       "tensor 'a': safetensors header entry is malformed: expected an object"},
      {"field twice", entry(R"("dtype":"U8","dtype":"U8")"),
       "tensor 'a': safetensors header entry has a field twice: got dtype"},
      {"no dtype", entry(R"("shape":[8],"data_offsets":[0,8])"),
       "tensor 'a': dtype is missing or no string: expected a name like \"F32\""},
      {"dtype no string", entry(R"("dtype":1,"shape":[8],"data_offsets":[0,8])"),
       "tensor 'a': dtype is missing or no string: expected a name like \"F32\""},
      {"unknown dtype", entry(R"("dtype":"F5","shape":[8],"data_offsets":[0,8])"),
       "tensor 'a': dtype is not supported: got F5"},
      {"narrow dtype", entry(R"("dtype":"F4","shape":[16],"data_offsets":[0,8])"),
       "tensor 'a': dtype is not supported: got F4; elements narrower than a byte are not read"},
      {"no shape", entry(R"("dtype":"U8","data_offsets":[0,8])"),
       "tensor 'a': safetensors header entry is malformed: expected 'shape' with whole numbers "
       "from 0 up"},
      {"negative shape", entry(R"("dtype":"U8","shape":[-8],"data_offsets":[0,8])"),
       "tensor 'a': safetensors header entry is malformed: expected 'shape' with whole numbers "
       "from 0 up"},
      {"fractional shape", entry(R"("dtype":"U8","shape":[8.0],"data_offsets":[0,8])"),
       "tensor 'a': safetensors header entry is malformed: expected 'shape' with whole numbers "
       "from 0 up"},
      {"shape above 63 bits",
       entry(R"("dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,8])"),
       "tensor 'a': number in the safetensors header is too large: expected 'shape' below 2^63, "
       "got 9223372036854775808"},
      {"shape overflows",
       entry(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
       "tensor 'a': shape has more elements than 63 bits can count: got [4294967296, 4294967296]"},
      {"bytes overflow",
       entry(R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,8])"),
       "tensor 'a': shape has more elements than 63 bits can count: got [2305843009213693952]"},
      {"no offsets", entry(R"("dtype":"U8","shape":[8])"),
       "tensor 'a': safetensors header entry is malformed: expected 'data_offsets' with whole "
       "numbers from 0 up"},
      {"three offsets", entry(R"("dtype":"U8","shape":[8],"data_offsets":[0,8,8])"),
       "tensor 'a': data_offsets are malformed: expected 2 numbers, got 3"},
      {"offsets turned", entry(R"("dtype":"U8","shape":[8],"data_offsets":[8,0])"),
       "tensor 'a': data_offsets do not fit dtype and shape: expected 8 bytes for U8 [8], "
       "got [8, 0)"},
      {"wrong size", entry(R"("dtype":"F32","shape":[1,3],"data_offsets":[0,8])"),
       "tensor 'a': data_offsets do not fit dtype and shape: expected 12 bytes for F32 [1, 3], "
       "got [0, 8)"},
      {"scalar of two", entry(R"("dtype":"F32","shape":[],"data_offsets":[0,8])"),
       "tensor 'a': data_offsets do not fit dtype and shape: expected 4 bytes for F32 [], "
       "got [0, 8)"},
      {"hole at the start", two("[1,5]", "[5,9]"),
       "tensor 'a': data leaves a hole after the tensor before it: expected data_offsets from 0, "
       "got 1 (at byte 114)"},
      {"hole between", two("[0,4]", "[5,9]"),
       "tensor 'b': data leaves a hole after the tensor before it: expected data_offsets from 4, "
       "got 5 (at byte 118)"},
      {"overlap", two("[0,4]", "[3,7]"),
       "tensor 'b': data overlaps the tensor before it: expected data_offsets from 4, got 3 "
       "(at byte 116)"},
      {"same range", two("[0,4]", "[0,4]"),
       "tensor 'b': data overlaps the tensor before it: expected data_offsets from 4, got 0 "
       "(at byte 113)"},
      {"data cut", file(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 8),
       "tensor 'a': data reaches past the end of the file: expected 9 bytes of data, got 8 "
       "(at byte 61); the download may be incomplete"},
      {"data far past the end",
       file(R"({"a":{"dtype":"U8","shape":[9223372036854775807],)"
            R"("data_offsets":[0,9223372036854775807]}})",
            8),
       "tensor 'a': data reaches past the end of the file: expected 9223372036854775807 bytes of "
       "data, got 8 (at byte 97); the download may be incomplete"},
      {"empty tensor in nowhere",
       file(R"({"a":{"dtype":"U8","shape":[0],)"
            R"("data_offsets":[9223372036854775807,9223372036854775807]}})"),
       "tensor 'a': data leaves a hole after the tensor before it: expected data_offsets from 0, "
       "got 9223372036854775807 (at byte 97)"},
      {"bytes left", file("{}", 3),
       "file goes on after the last tensor: expected 0 bytes of data, got 3 (at byte 10)"},
  };
  return kCases;
}

TEST(SafetensorsFile, SaysWhichRuleAFileBreaks) {
  ScratchFolder folder;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    write_file(folder / "f", c.bytes);
    EXPECT_EQ(message_of([&] { SafetensorsFile::open(folder / "f"); }, folder.path()),
              "f: " + c.message);
  }
}

TEST(SafetensorsFile, RefusesEveryTruncationAndSurvivesEveryChangedByte) {
  ScratchFolder folder;
  const std::string whole = testing::read_file(testing::golden("mixed.safetensors"));
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file(folder / "f", whole.substr(0, size));
    EXPECT_THROW(SafetensorsFile::open(folder / "f"), Error) << size;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int flipped : {0x01, 0x10, 0x80}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ flipped);
      write_file(folder / "f", changed);
      try {  // Either it is refused or everything in it can be read.
        const auto file = SafetensorsFile::open(folder / "f");
        int64_t bytes = 0;
        for (const TensorInfo& info : file.tensors()) {
          bytes += std::ssize(testing::bytes_of(file.tensor(info)));
        }
        EXPECT_LT(bytes, std::ssize(whole));
      } catch (const Error&) {
      }
    }
  }
}

TEST(SafetensorsFile, MissingFileAndFolderAreErrors) {
  ScratchFolder folder;
  EXPECT_EQ(message_of([&] { SafetensorsFile::open(folder / "none"); }, folder.path()),
            "none: cannot open file: got No such file or directory");
  std::filesystem::create_directory(folder / "sub");
  EXPECT_EQ(message_of([&] { SafetensorsFile::open(folder / "sub"); }, folder.path()),
            "sub: cannot map file: expected a regular file");
}

}  // namespace
}  // namespace nibble
