// SPDX-License-Identifier: Apache-2.0
//
// Files of torch.save that would run code, that claim what they do not have, and that are damaged:
// each is refused with one exact line, and nothing of what they claim is allocated.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nibble/io/torch_file.h"
#include "tests/io/torch_testing.h"

namespace nibble {
namespace {

using testing::global;
using testing::golden;
using testing::le;
using testing::legacy_head;
using testing::message_of;
using testing::read_file;
using testing::ScratchFolder;
using testing::state_dict;
using testing::storage;
using testing::tensor;
using testing::text;
using testing::torch_zip;
using testing::write_file;
using testing::zip_of;
using testing::ZipDirectory;

constexpr const char* kRuns =
    "; pickles can run code: only what torch.save writes for a state dict is read";

constexpr const char* kIncomplete = "; the download may be incomplete";

struct Case {
  std::string file, message;
};

// Of a file "f" in a folder of its own.
void expect_messages(const std::vector<Case>& cases) {
  ScratchFolder folder;
  for (const Case& c : cases) {
    write_file(folder / "f", c.file);
    EXPECT_EQ(message_of([&] { TorchFile::open(folder / "f"); }, folder.path()), "f: " + c.message);
  }
}

// Offsets count from the pickle's first instruction, which stands behind its two-byte PROTO.
Case pickled(const std::string& code, const std::string& message, int64_t at,
             const std::string& hint = "") {
  const auto before = static_cast<int64_t>(ZipDirectory::local_header("a/data.pkl").size());
  return {torch_zip("\x80\x02" + code, "0123456789abcdef"),
          message + " (at byte " + std::to_string(before + 2 + at) + ")" + hint};
}

Case refused(const std::string& code, const std::string& message, int64_t at = 0) {
  return pickled(code, message, at, kRuns);
}

TEST(TorchFile, RefusesWhatWouldRunCode) {
  const auto is_class = [](const std::string& name) {
    return "pickle asks for a class or function that is not allowed: got " + name;
  };
  const auto is_opcode = [](const std::string& name) {
    return "pickle has an instruction that is not read: got " + name;
  };
  const std::string names = text("os") + text("system");
  expect_messages({
      refused(global("os", "system") + text("id") + "\x85R.", is_class("os.system")),
      refused(global("posix", "system") + ".", is_class("posix.system")),
      refused(global("torch", "load") + ".", is_class("torch.load")),
      refused(global("torch._utils", "_rebuild_qtensor") + ".",
              is_class("torch._utils._rebuild_qtensor")),
      refused(global("collections", "OrderedDict.fromkeys") + ".",
              is_class("collections.OrderedDict.fromkeys")),
      refused(names + "\x93.", is_class("os.system"), static_cast<int64_t>(names.size())),
      refused("(" + text("id") + "ios\nsystem\n.", is_opcode("INST"), 8),
      refused("(" + global("collections", "OrderedDict") + "o.", is_opcode("OBJ"), 26),
      refused("\x82\x01.", is_opcode("EXT1")),
      refused(std::string("\x83\x01\x00.", 4), is_opcode("EXT2")),
      refused(std::string("\x84\x01\x00\x00\x00.", 6), is_opcode("EXT4")),
      refused("]" + text("state") + "b.", is_opcode("BUILD"), 11),
      refused(text("id") + text("x") + "\x85R.", is_opcode("REDUCE"), 14),
      refused(text("id") + ")\x81.", is_opcode("NEWOBJ"), 8),
      refused(")}\x92.", is_opcode("NEWOBJ_EX"), 2),
      refused("Pos.system\n.", is_opcode("PERSID")),
      refused("S'a'\n.", is_opcode("STRING")),
      refused("\xff.", "pickle has an opcode that does not exist: got 0xff"),
      pickled(global("torch", "Tensor") + ")R.",
              "pickle calls a function with values that it does not take", 15),
      pickled(global("torch._utils", "_rebuild_tensor_v2") + ")R.",
              "pickle calls a function with the wrong number of values: got 0 for "
              "_rebuild_tensor_v2",
              34),
  });
}

TEST(TorchFile, RefusesRealPicklesThatWouldRunCode) {
  const auto message = [](const std::string& name) {
    std::string text = message_of(
        [&] { TorchFile::open(golden("torch") / ("hostile_" + name + ".bin")); }, golden("torch"));
    const size_t from = text.find(": ") + 2;
    return text.substr(from, text.find(" (at byte") - from);
  };
  const std::string refuses = "pickle asks for a class or function that is not allowed: got ";
  for (const std::string protocol : {"_2", "_4"}) {
    EXPECT_EQ(message("os_system" + protocol), refuses + "posix.system");
    EXPECT_EQ(message("eval" + protocol),
              refuses + (protocol == "_2" ? "__builtin__.eval" : "builtins.eval"));
    EXPECT_EQ(message("namespace" + protocol), refuses + "argparse.Namespace");
    EXPECT_EQ(message("module" + protocol), refuses + "torch.nn.modules.linear.Linear");
  }
}

TEST(TorchFile, RefusesBrokenPickles) {
  expect_messages({
      pickled("", "file ends within a pickle: expected 1 bytes, got 0 bytes", 0, kIncomplete),
      pickled(".", "pickle takes a value that is not there", 0),
      pickled("}}.", "pickle leaves more than one value", 2),
      pickled("(}.", "pickle leaves more than one value", 2),
      pickled("t.", "pickle takes a mark that is not there", 0),
      pickled("}(\x85.", "pickle takes a value that is not there", 2),
      pickled("N}s.", "pickle takes a value that is not there", 2),
      pickled("](NNu.", "pickle adds to something else than it should: expected a dict, got a list",
              4),
      pickled("}Na.", "pickle adds to something else than it should: expected a list, got a dict",
              2),
      pickled("}(Nu.", "pickle sets a key without a value", 3),
      pickled("h\x05.", "pickle refers to a value that it has not stored: got 5", 0),
      pickled("\x8b" + le<int32_t>(-1) + ".", "length in a pickle is negative: got -1", 0),
      pickled("NN\x93.", "STACK_GLOBAL without two strings", 2),
      pickled("\x80\x09.", "pickle protocol is not known: got 9", 0),
      pickled("NQ.",
              "storage in the pickle is malformed: expected ('storage', class, key, location, "
              "size)",
              1),
      pickled("c" + std::string(1001, 'x'),
              "name of a class is too long: got " + std::string(200, 'x') + "...", 0),
  });
}

// Lengths far beyond the file, at the end of a file of a hundred bytes.
TEST(TorchFile, LengthsAreHeldAgainstTheFile) {
  ScratchFolder folder;
  const auto huge = le(uint64_t{1} << 60);
  for (const std::string& code : {"\x8b" + le<int32_t>(INT32_MAX), "X" + le<uint32_t>(UINT32_MAX),
                                  "T" + le<uint32_t>(UINT32_MAX), "B" + le<uint32_t>(UINT32_MAX),
                                  "\x8d" + huge, "\x8e" + huge, "\x96" + huge, "\x95" + huge}) {
    write_file(folder / "f", legacy_head() + "\x80\x04" + code);
    const std::string message = message_of([&] { TorchFile::open(folder / "f"); }, folder.path());
    EXPECT_TRUE(message.starts_with("f: file ends within a")) << message;
  }
}

TEST(TorchFile, ViewsAreHeldAgainstTheirStorage) {
  const std::string bytes = storage("ByteStorage", 16);
  const auto view = [&](int64_t first, const std::vector<int64_t>& sizes,
                        const std::vector<int64_t>& strides, const std::string& message) {
    const std::string before = text("w") + global("torch._utils", "_rebuild_tensor_v2") + '(' +
                               bytes + testing::integer(first) + testing::tuple_of(sizes) +
                               testing::tuple_of(strides) + '\x89' +
                               global("collections", "OrderedDict") + ")Rt";
    Case c = pickled('}' + text("w") + tensor(bytes, first, sizes, strides) + "s.", message,
                     static_cast<int64_t>(before.size()) + 1);
    c.message = "tensor 'w': " + c.message;
    return c;
  };
  const std::string past =
      "tensor reaches past its storage: expected at most 16 elements of 1 "
      "bytes, got sizes ";
  const std::string many = "shape has more elements than 63 bits can count: got ";
  expect_messages({
      view(0, {17}, {1}, past + "[17], strides [1], first element 0"),
      view(16, {1}, {1}, past + "[1], strides [1], first element 16"),
      view(-1, {1}, {1}, past + "[1], strides [1], first element -1"),
      view(0, {4, 4}, {5, 1}, past + "[4, 4], strides [5, 1], first element 0"),
      view(8, {2}, {-1}, past + "[2], strides [-1], first element 8"),
      view(0, {3}, {INT64_MAX}, past + "[3], strides [9223372036854775807], first element 0"),
      view(INT64_MAX, {1}, {1}, past + "[1], strides [1], first element 9223372036854775807"),
      view(0, {int64_t{1} << 60}, {1},
           past + "[1152921504606846976], strides [1], first element 0"),
      view(0, {int64_t{1} << 32, int64_t{1} << 32}, {0, 0}, many + "[4294967296, 4294967296]"),
      view(0, {-1}, {1}, "shape has a negative dimension: got [-1]"),
  });
}

TEST(TorchFile, AViewThatRepeatsElementsMayNotOutgrowTheFile) {
  ScratchFolder folder;
  const std::string on = storage("ByteStorage", 16);
  write_file(folder / "f",
             torch_zip(state_dict(tensor(on, 0, {int64_t{1} << 60}, {0})), "0123456789abcdef"));
  const std::string message = message_of([&] { TorchFile::open(folder / "f"); }, folder.path());
  EXPECT_TRUE(
      message.starts_with("f: tensor 'w': tensor repeats its storage to more bytes than the file "
                          "has: expected at most "))
      << message;
  write_file(folder / "f", torch_zip(state_dict(tensor(on, 3, {20}, {0})), "0123456789abcdef"));
  const TorchFile file = TorchFile::open(folder / "f");
  EXPECT_EQ(testing::bytes_of(file.tensor(file.tensors()[0])), std::string(20, '3'));
}

TEST(TorchFile, StoragesMustExist) {
  ScratchFolder folder;
  const auto message = [&](const std::string& on, const std::string& bytes) {
    write_file(folder / "f", torch_zip(state_dict(tensor(on, 0, {1}, {1})), bytes));
    const std::string text = message_of([&] { TorchFile::open(folder / "f"); }, folder.path());
    return text.substr(0, text.find(" (at byte"));
  };
  EXPECT_EQ(message(storage("FloatStorage", 5), std::string(16, 'x')),
            "f: tensor 'w': storage of the tensor is shorter than the pickle says: expected 5 "
            "elements of 4 bytes, got 16 bytes");
  EXPECT_EQ(message(storage("FloatStorage", int64_t{1} << 62), std::string(16, 'x')),
            "f: tensor 'w': storage of the tensor is shorter than the pickle says: expected "
            "4611686018427387904 elements of 4 bytes, got 16 bytes");
  EXPECT_EQ(message(storage("ComplexDoubleStorage", 1), std::string(16, 'x')),
            "f: pickle asks for a class or function that is not allowed: got "
            "torch.ComplexDoubleStorage");
  write_file(folder / "f",
             zip_of({{"a/data.pkl", state_dict(tensor(storage("ByteStorage", 1), 0, {1}, {1}))}}));
  const std::string text = message_of([&] { TorchFile::open(folder / "f"); }, folder.path());
  EXPECT_EQ(text.substr(0, text.find(" (at byte")),
            "f: tensor 'w': storage of the tensor is not in the file: got 0");
}

// A million levels would overflow any stack that recursion needs; a million copies of one value
// would fill any memory.
TEST(TorchFile, DeepAndSharedValuesCostWhatTheyTakeInTheFile) {
  ScratchFolder folder;
  constexpr size_t kMany = 1'000'000;
  std::string nested = "\x80\x02";
  for (size_t i = 0; i < kMany; ++i) nested += "(]";
  for (size_t i = 0; i < kMany; ++i) nested += "t";
  write_file(folder / "f", torch_zip(nested + "."));
  EXPECT_EQ(message_of([&] { TorchFile::open(folder / "f"); }, folder.path()),
            "f: file holds no state dict: expected a dict from names to tensors, or one under "
            "'state_dict' or 'model', got a tuple");
  // Lists of lists of ... of the same list: 2^1000 leaves.
  std::string packed;
  for (size_t i = 0; i < 1000; ++i)
    packed +=
        "](h\x01h\x01"
        "eq\x01";
  write_file(folder / "f", torch_zip(std::string("\x80\x02(]q\x01") + packed + "t."));
  EXPECT_EQ(message_of([&] { TorchFile::open(folder / "f"); }, folder.path()),
            "f: file holds no state dict: expected a dict from names to tensors, or one under "
            "'state_dict' or 'model', got a tuple");
}

TEST(TorchFile, SaysWhatAFileIsInstead) {
  const std::string dict = "\x80\x02}.";
  const std::string header = ZipDirectory::local_header("a/data.pkl");
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  ZipDirectory deflated, encrypted, twice, outside;
  deflated.add("a/data.pkl", 0, dict.size(), 8);
  encrypted.add("a/data.pkl", 0, dict.size(), 0, 1);
  for (int i = 0; i < 2; ++i) twice.add("a/data.pkl", 0, dict.size());
  outside.add("a/data.pkl", 0, 1 << 20);
  const std::string stored = header + dict;
  const auto at_end = std::to_string(stored.size());
  expect_messages({
      {"",
       "file is not one that torch.save writes: expected a zip archive or a pickle (at byte 0)"},
      {"hello",
       "file is not one that torch.save writes: expected a zip archive or a pickle (at "
       "byte 0)"},
      {"version https://git-lfs.github.com/spec/v1\n",
       "file is a Git LFS pointer, not weights; run `git lfs pull`"},
      {tar,
       "file is in the tar format of PyTorch before 0.1.10, which is not read; load the file "
       "with torch and save its state dict again"},
      {dict,
       "pickle is not one that torch.save writes: expected PyTorch's magic number first (at "
       "byte 0)"},
      {header, "zip archive has no directory at its end; the download may be incomplete"},
      {stored + ZipDirectory().end(stored.size()), "zip archive is empty"},
      {stored + deflated.end(stored.size()),
       "member of the zip archive is compressed: 'a/data.pkl': expected stored members, as "
       "torch.save writes them (at byte " +
           at_end + "); load the file with torch and save it again"},
      {stored + encrypted.end(stored.size()),
       "member of the zip archive is encrypted: 'a/data.pkl' (at byte " + at_end + ")"},
      {zip_of({{"a/other", dict}}),
       "zip archive is not one that torch.save writes: expected a member 'a/data.pkl'"},
      {zip_of({{"a/data.pkl", dict}, {"a/constants.pkl", ""}}),
       "file is a TorchScript program, not a state dict; load the file with torch and save its "
       "state dict again"},
      {zip_of({{"a/data.pkl", dict}, {"a/byteorder", "big"}}),
       "file is not little-endian: got big (at byte 85); load the file with torch and save its "
       "state dict again"},
      {torch_zip(dict),
       "file holds no state dict: expected a dict from names to tensors, or one "
       "under 'state_dict' or 'model', got a dict without tensors"},
      {torch_zip("\x80\x02}" + text("epoch") + "Ns."),
       "file holds no state dict: expected a dict from names to tensors, or one under 'state_dict' "
       "or 'model', got a dict with 'epoch'"},
      {stored + std::string("PK\x05\x06", 4) + std::string(4, '\0') + std::string(4, '\xff') +
           std::string(10, '\0'),
       "file ends within the directory of the zip archive: expected 65535 items of at least 46 "
       "bytes, got 66 bytes (at byte 0); the download may be incomplete"},
  });
  ScratchFolder folder;
  for (const auto& [directory, message] :
       {std::pair{&twice, "member of the zip archive comes twice"},
        std::pair{&outside, "file ends within a member of the zip archive"}}) {
    write_file(folder / "f", stored + directory->end(stored.size()));
    const std::string text = message_of([&] { TorchFile::open(folder / "f"); }, folder.path());
    EXPECT_TRUE(text.starts_with(std::string("f: ") + message)) << text;
  }
}

// Whatever is changed or cut, opening either works or throws Error, and what opens can be read.
TEST(TorchFile, RefusesTruncationsAndSurvivesChangedBytes) {
  ScratchFolder folder;
  for (const char* name : {"views_legacy.bin", "tied_legacy.bin", "views.bin"}) {
    const std::string whole = read_file(golden("torch") / name);
    for (size_t size = 0; size < whole.size(); size += 41) {
      write_file(folder / "f", whole.substr(0, size));
      EXPECT_THROW(TorchFile::open(folder / "f"), Error) << name << ' ' << size;
    }
    for (size_t i = 0; i < whole.size(); i += 13) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ (i % 2 == 0 ? 0xff : 0x01));
      write_file(folder / "f", changed);
      try {
        const TorchFile file = TorchFile::open(folder / "f");
        for (const TensorInfo& info : file.tensors()) {
          EXPECT_EQ(testing::bytes_of(file.tensor(info)).size(), static_cast<size_t>(info.nbytes));
        }
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace
}  // namespace nibble
