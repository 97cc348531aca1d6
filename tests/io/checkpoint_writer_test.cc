// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/checkpoint_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "nibble/io/checkpoint.h"
#include "tests/io/io_testing.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using testing::golden;
using testing::golden_values;
using testing::list;
using testing::message_of;
using testing::read_file;
using testing::ScratchFolder;
using testing::write_file;
using Names = std::set<std::string>;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

Tensor bytes_tensor(int64_t count) { return golden_values(0, DType::kU8, {count}); }

// Every file of a folder with its content.
std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const std::string& name : list(folder)) files[name] = read_file(folder / name);
  return files;
}

TEST(CheckpointWriter, FilesEqualTheOfficialSerializer) {
  ScratchFolder folder;
  for (const DType dtype : testing::kAllDTypes) {
    const fs::path out = folder / torch_name(dtype);
    CheckpointWriter writer(out);
    writer.add("weight", golden_values(0, dtype, {2, 3}));
    writer.add("bias", golden_values(1, dtype, {3}));
    writer.commit();
    EXPECT_EQ(read_file(out / kSingle),
              read_file(golden(std::string(torch_name(dtype)) + ".safetensors")));
  }
  {
    CheckpointWriter writer(folder / "mixed", {.metadata = {}});
    for (size_t i = 0; i < testing::kAllDTypes.size(); ++i) {
      writer.add((i < 10 ? "t0" : "t") + std::to_string(i),
                 golden_values(static_cast<int64_t>(i), testing::kAllDTypes[i],
                               {static_cast<int64_t>(i % 4 + 1)}));
    }
    writer.commit();
    EXPECT_EQ(read_file(folder / "mixed/model.safetensors"),
              read_file(golden("mixed.safetensors")));
  }
  {
    CheckpointWriter writer(folder / "shapes");
    writer.add("z.scalar", golden_values(0, DType::kF32, {}));
    writer.add("empty.rows", golden_values(1, DType::kF32, {0, 3}));
    writer.add("empty.both", golden_values(2, DType::kF16, {0}));
    writer.add("a.deep", golden_values(3, DType::kBF16, {1, 2, 1, 3}));
    writer.add("B.upper", golden_values(4, DType::kBF16, {1}));
    writer.add("byte", golden_values(5, DType::kU8, {5}));
    EXPECT_EQ(writer.bytes_written(), 23);
    writer.commit();
    EXPECT_EQ(read_file(folder / "shapes/model.safetensors"),
              read_file(golden("shapes.safetensors")));
  }
}

TEST(CheckpointWriter, AShardOfOneOversizedTensorEqualsTheOfficialSerializer) {
  ScratchFolder folder;
  CheckpointWriter writer(folder / "m",
                          {.max_shard_size = 1, .metadata = {{"key \\ é", "tab\t\"\x01\x7f"}}});
  writer.add("quote \" and \n and é", golden_values(0, DType::kF32, {1}));
  writer.commit();
  EXPECT_EQ(read_file(folder / "m/model.safetensors"), read_file(golden("metadata.safetensors")));
}

TEST(CheckpointWriter, ARealModelComesBackByteForByte) {
  const fs::path model = testing::shared_data() / "stories260k_hf";
  if (!fs::exists(model / kSingle)) GTEST_SKIP() << "no shared data";
  ScratchFolder folder;
  const Checkpoint source = Checkpoint::open(model);
  CheckpointWriter writer(folder / "m", {.metadata = source.files()[0].metadata()});
  for (const std::string& name : source.names()) writer.add(name, source.tensor(name));
  writer.commit();
  EXPECT_EQ(read_file(folder / "m/model.safetensors"), read_file(model / kSingle));
}

TEST(CheckpointWriter, CutsShardsAsTransformersDoes) {
  ScratchFolder folder;
  CheckpointWriter writer(folder / "m", {.max_shard_size = 10});
  writer.add("a", bytes_tensor(6));
  writer.add("big", bytes_tensor(11));  // the first shard to be finished; "a" stays open
  writer.add("b", bytes_tensor(4));     // fills the shard of "a" exactly
  writer.add("none", bytes_tensor(0));  // and this still fits
  writer.add("c", bytes_tensor(1));
  writer.commit();
  EXPECT_EQ(list(folder / "m"),
            (Names{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                   "model-00003-of-00003.safetensors", kIndex}));
  EXPECT_EQ(read_file(folder / "m" / kIndex), R"({
  "metadata": {
    "total_size": 22
  },
  "weight_map": {
    "a": "model-00002-of-00003.safetensors",
    "b": "model-00002-of-00003.safetensors",
    "big": "model-00001-of-00003.safetensors",
    "c": "model-00003-of-00003.safetensors",
    "none": "model-00002-of-00003.safetensors"
  }
}
)");
  const Checkpoint checkpoint = Checkpoint::open(folder / "m");
  EXPECT_EQ(checkpoint.total_bytes(), 22);
  EXPECT_EQ(testing::bytes_of(checkpoint.tensor("b")), testing::bytes_of(bytes_tensor(4)));
}

TEST(CheckpointWriter, BytesAreOnDiskWhenAddReturns) {
  ScratchFolder folder;
  CheckpointWriter writer(folder / "m");
  writer.add("a", bytes_tensor(100'000));
  uintmax_t staged = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    if (entry.is_regular_file()) staged += entry.file_size();
  }
  EXPECT_EQ(staged, 100'000u);
  EXPECT_FALSE(fs::exists(folder / "m"));
}

TEST(CheckpointWriter, CopiesCompanions) {
  ScratchFolder folder;
  write_file(folder / "tokenizer.json", std::string(3'000'000, 't'));
  CheckpointWriter writer(folder / "m");
  writer.add("a", bytes_tensor(1));
  writer.add_file("config.json", "{}\n");
  writer.copy_file(folder / "tokenizer.json");
  writer.commit();
  EXPECT_EQ(list(folder / "m"), (Names{"config.json", kSingle, "tokenizer.json"}));
  EXPECT_EQ(read_file(folder / "m/config.json"), "{}\n");
  EXPECT_EQ(read_file(folder / "m/tokenizer.json"), read_file(folder / "tokenizer.json"));
  EXPECT_EQ(list(folder.path()), (Names{"m", "tokenizer.json"}));
}

TEST(CheckpointWriter, WithoutCommitNothingIsLeft) {
  ScratchFolder folder;
  {
    CheckpointWriter writer(folder / "new/parent/m", {.max_shard_size = 2});
    writer.add("a", bytes_tensor(2));
    writer.add("b", bytes_tensor(3));
    writer.add_file("config.json", "{}");
    EXPECT_EQ(list(folder.path()), (Names{"new"}));
  }
  EXPECT_EQ(list(folder.path()), Names{});
}

TEST(CheckpointWriter, CreatesParentsAndFillsAnEmptyDestination) {
  ScratchFolder folder;
  for (const char* name : {"new/parent/m", "empty/", "link"}) {
    fs::create_directories(folder / "empty");
    fs::create_directories(folder / "behind");
    if (!fs::exists(folder / "link")) fs::create_symlink("behind", folder / "link");
    CheckpointWriter writer(folder / name);
    writer.add("a", bytes_tensor(2));
    writer.commit();
    EXPECT_EQ(list(folder / name), (Names{kSingle}));
  }
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(list(folder.path()), (Names{"behind", "empty", "link", "new"}));
}

TEST(CheckpointWriter, OverwritingReplacesTheModelAndNothingElse) {
  ScratchFolder folder;
  const fs::path out = folder / "m";
  {
    CheckpointWriter writer(out, {.max_shard_size = 1});
    for (const char* name : {"a", "b", "c"}) writer.add(name, bytes_tensor(1));
    writer.add_file("config.json", "old");
    writer.commit();
  }
  write_file(out / "notes.txt", "mine");
  write_file(out / "model_of_mine.safetensors", "mine");
  fs::create_directory(out / "sub");
  const std::string old_shard = read_file(out / "model-00001-of-00003.safetensors");
  {
    CheckpointWriter writer(out, {.overwrite = true});
    writer.add("d", bytes_tensor(4));
    writer.add_file("config.json", "new");
    // The old model stands whole until commit().
    EXPECT_EQ(Checkpoint::open(out).names(), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(read_file(out / "config.json"), "old");
    writer.commit();
  }
  EXPECT_EQ(list(out),
            (Names{"config.json", kSingle, "model_of_mine.safetensors", "notes.txt", "sub"}));
  EXPECT_EQ(read_file(out / "config.json"), "new");
  EXPECT_EQ(read_file(out / "notes.txt"), "mine");
  EXPECT_EQ(Checkpoint::open(out).names(), (std::vector<std::string>{"d"}));
  {  // and back to shards: the single file would win over the index if it stayed
    CheckpointWriter writer(out, {.max_shard_size = 1, .overwrite = true});
    for (const char* name : {"a", "b"}) writer.add(name, bytes_tensor(1));
    writer.commit();
  }
  EXPECT_EQ(Checkpoint::open(out).names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(fs::exists(out / kSingle));
  EXPECT_EQ(list(folder.path()), (Names{"m"}));
}

TEST(CheckpointWriter, AMapOfTheOldModelStaysValidWhileItIsReplaced) {
  ScratchFolder folder;
  const fs::path out = folder / "m";
  {
    CheckpointWriter writer(out);
    writer.add("a", bytes_tensor(5));
    writer.commit();
  }
  const Tensor old = Checkpoint::open(out).tensor("a");
  {
    CheckpointWriter writer(out, {.overwrite = true});
    writer.add("a", old);
    writer.add("b", old);
    writer.commit();
  }
  EXPECT_EQ(testing::bytes_of(old), testing::bytes_of(bytes_tensor(5)));
  EXPECT_EQ(Checkpoint::open(out).total_bytes(), 10);
}

TEST(CheckpointWriter, AFailedCommitPutsTheOldModelBack) {
  ScratchFolder folder;
  const fs::path out = folder / "m";
  {
    CheckpointWriter writer(out, {.max_shard_size = 1});
    for (const char* name : {"a", "b"}) writer.add(name, bytes_tensor(1));
    writer.commit();
  }
  const auto before = snapshot(out);
  // A folder where the last file must go makes the move fail after the weights were moved.
  fs::create_directory(out / "zz.json");
  {
    CheckpointWriter writer(out, {.max_shard_size = 1, .overwrite = true});
    for (const char* name : {"c", "d"}) writer.add(name, bytes_tensor(1));
    writer.add_file("zz.json", "new");
    EXPECT_EQ(message_of([&] { writer.commit(); }, folder.path()),
              "m/zz.json: a folder stands where a file must go");
  }
  fs::remove(out / "zz.json");
  EXPECT_EQ(snapshot(out), before);
  EXPECT_EQ(list(folder.path()), (Names{"m"}));
}

// Writes fail beyond a file size, as they do on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST(CheckpointWriter, WhenTheDiskIsFullTheDestinationIsAsItWas) {
  ScratchFolder folder;
  const fs::path out = folder / "m";
  {
    CheckpointWriter writer(out);
    writer.add("a", bytes_tensor(5));
    writer.commit();
  }
  const auto before = snapshot(out);
  {
    CheckpointWriter writer(out, {.overwrite = true});
    const FileSizeLimit limit(4096);
    writer.add("a", bytes_tensor(1000));
    EXPECT_NE(message_of([&] {
                writer.add("b", bytes_tensor(5000));
              }).find("cannot write file: got File too large"),
              std::string::npos);
    EXPECT_EQ(message_of([&] { writer.commit(); }, folder.path()),
              "m: checkpoint is closed; it was committed or failed");
  }
  {  // The spool fits, the shard with its header does not.
    CheckpointWriter writer(out, {.overwrite = true});
    const FileSizeLimit limit(4096);
    writer.add("a", bytes_tensor(2000));
    writer.add("b", bytes_tensor(2090));
    EXPECT_NE(message_of([&] { writer.commit(); }).find("cannot write file: got File too large"),
              std::string::npos);
  }
  EXPECT_EQ(snapshot(out), before);
  EXPECT_EQ(list(folder.path()), (Names{"m"}));
}

TEST(CheckpointWriter, RefusesWrongUse) {
  ScratchFolder folder;
  const auto error = [&](const auto& use) {
    CheckpointWriter writer(folder / "m");
    writer.add("a", bytes_tensor(1));
    writer.add_file("config.json", "");
    return message_of([&] { use(writer); }, folder.path());
  };
  using W = CheckpointWriter;
  EXPECT_EQ(error([](W& w) { w.add("a", bytes_tensor(1)); }),
            "tensor 'a': tensor was added before");
  EXPECT_EQ(error([](W& w) { w.add("b", Tensor()); }), "tensor 'b': tensor is undefined");
  EXPECT_EQ(error([](W& w) { w.add_file("config.json", ""); }),
            "file was added before: got config.json");
  for (const std::string name : {"", ".", "..", "a/b", "/a", kSingle, kIndex,
                                 "model-00001-of-00001.safetensors", "model-spool.safetensors"}) {
    EXPECT_EQ(error([&](W& w) { w.add_file(name, ""); }),
              "not a name for a file beside the weights" + (name.empty() ? "" : ": got " + name));
  }
  EXPECT_EQ(error([&](W& w) { w.copy_file(folder / "none.json"); }),
            "none.json: cannot open file: got No such file or directory");
  EXPECT_EQ(error([](W& w) {
              w.commit();
              w.add("b", bytes_tensor(1));
            }),
            "m: checkpoint is closed; it was committed or failed");
  EXPECT_EQ(message_of([&] { CheckpointWriter(folder / "e").commit(); }, folder.path()),
            "e: no tensor was added");
  EXPECT_EQ(message_of([&] { CheckpointWriter(folder / "e", {.max_shard_size = 0}); }),
            "max_shard_size is not positive: got 0");
  EXPECT_EQ(list(folder.path()), (Names{"m"}));
}

TEST(CheckpointWriter, ADestinationInUseIsRefusedEarlyAndLate) {
  ScratchFolder folder;
  fs::create_directory(folder / "full");
  write_file(folder / "full/x", "x");
  fs::create_directory(folder / "empty");
  write_file(folder / "file", "x");
  const auto error = [&](const char* name, bool overwrite) {
    return message_of(
        [&] { require_writable_destination(folder / name, {.overwrite = overwrite}); },
        folder.path());
  };
  EXPECT_EQ(error("none", false), "no error");
  EXPECT_EQ(error("empty", false), "no error");
  EXPECT_EQ(error("full", true), "no error");
  EXPECT_EQ(error("full", false),
            "full: destination exists and is not empty; choose another, or allow overwriting "
            "(--overwrite)");
  EXPECT_EQ(error("file", true), "file: destination is not a folder; give the name of a folder");
  EXPECT_EQ(message_of([&] { CheckpointWriter(folder / "full"); }, folder.path()),
            error("full", false));
  {
    CheckpointWriter writer(folder / "late");
    writer.add("a", bytes_tensor(1));
    fs::create_directory(folder / "late");
    write_file(folder / "late/x", "x");
    EXPECT_EQ(message_of([&] { writer.commit(); }, folder.path()),
              "late: destination was used by someone else meanwhile");
  }
  EXPECT_EQ(list(folder.path()), (Names{"empty", "file", "full", "late"}));
  EXPECT_EQ(list(folder / "late"), (Names{"x"}));
}

}  // namespace
}  // namespace nibble
