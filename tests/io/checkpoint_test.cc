// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/checkpoint.h"

#include <gtest/gtest.h>

#include <chrono>

#include "nibble/io/checkpoint_writer.h"
#include "nibble/io/safetensors.h"
#include "tests/io/io_testing.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using testing::bytes_of;
using testing::golden;
using testing::golden_values;
using testing::message_of;
using testing::ScratchFolder;
using testing::write_file;

constexpr const char* kIndex = "model.safetensors.index.json";

// Four tensors of 24 bytes; with `max_shard_size` 48 two shards.
void write_model(const fs::path& folder, int64_t max_shard_size) {
  CheckpointWriter writer(folder, {.max_shard_size = max_shard_size, .overwrite = true});
  for (int i = 0; i < 4; ++i) {
    writer.add("layer." + std::to_string(3 - i) + ".weight", golden_values(i, DType::kF32, {2, 3}));
  }
  writer.commit();
}

std::string open_error(const fs::path& model, const fs::path& root) {
  return message_of([&] { Checkpoint::open(model); }, root);
}

TEST(Checkpoint, OpensAFolderAFileAndShardsAlike) {
  ScratchFolder folder;
  write_model(folder / "one", 1000);
  write_model(folder / "two", 48);
  ASSERT_TRUE(fs::exists(folder.path() / "two" / "model-00002-of-00002.safetensors"));
  for (const fs::path& path : {folder / "one", folder / "two", folder / "one/model.safetensors"}) {
    SCOPED_TRACE(path);
    const Checkpoint checkpoint = Checkpoint::open(path);
    EXPECT_EQ(checkpoint.folder(), path.extension().empty() ? path : path.parent_path());
    EXPECT_EQ(checkpoint.names(), (std::vector<std::string>{"layer.0.weight", "layer.1.weight",
                                                            "layer.2.weight", "layer.3.weight"}));
    EXPECT_EQ(checkpoint.total_bytes(), 96);
    EXPECT_TRUE(checkpoint.contains("layer.0.weight"));
    EXPECT_FALSE(checkpoint.contains("layer.0"));
    for (int i = 0; i < 4; ++i) {
      const std::string name = "layer." + std::to_string(3 - i) + ".weight";
      EXPECT_EQ(bytes_of(checkpoint.tensor(name)), bytes_of(golden_values(i, DType::kF32, {2, 3})));
      EXPECT_EQ(checkpoint.info(name).shape, (Shape{2, 3}));
    }
  }
  const Checkpoint shards = Checkpoint::open(folder / "two");
  ASSERT_EQ(shards.files().size(), 2u);
  EXPECT_EQ(shards.file_of("layer.3.weight").filename(), "model-00001-of-00002.safetensors");
  EXPECT_EQ(shards.file_of("layer.0.weight").filename(), "model-00002-of-00002.safetensors");
}

TEST(Checkpoint, OneFileHasPrecedenceOverAnIndexAsInTransformers) {
  ScratchFolder folder;
  write_model(folder / "m", 1000);
  write_file(folder / "m" / kIndex, "not even JSON");
  EXPECT_EQ(Checkpoint::open(folder / "m").files().size(), 1u);
}

// The files of a folder are those that torch.save wrote for the golden model "tied".
void expect_tied(const fs::path& path, size_t files) {
  SCOPED_TRACE(path);
  const Checkpoint checkpoint = Checkpoint::open(path);
  const auto expected = SafetensorsFile::open(golden("torch/tied.safetensors"));
  EXPECT_EQ(checkpoint.files().size(), files);
  ASSERT_EQ(checkpoint.names().size(), expected.tensors().size());
  for (const TensorInfo& info : expected.tensors()) {
    EXPECT_EQ(checkpoint.info(info.name).dtype, info.dtype);
    EXPECT_EQ(checkpoint.tensor(info.name).shape(), info.shape);
    EXPECT_EQ(bytes_of(checkpoint.tensor(info.name)), bytes_of(expected.tensor(info)));
  }
}

TEST(Checkpoint, OpensWhatTorchSaved) {
  ScratchFolder folder;
  expect_tied(golden("torch/sharded"), 2);
  for (const char* name : {"tied.bin", "tied_legacy.bin"}) {
    fs::create_directory(folder / "m");
    for (const char* as : {"m/pytorch_model.bin", "m/weights.pt", "m/weights.pth", "m/last.ckpt"}) {
      fs::copy_file(golden("torch") / name, folder / as, fs::copy_options::overwrite_existing);
    }
    for (const char* path :
         {"m", "m/pytorch_model.bin", "m/weights.pt", "m/weights.pth", "m/last.ckpt"}) {
      expect_tied(folder / path, 1);
    }
  }
}

TEST(Checkpoint, PrefersSafetensorsAsTransformersDoes) {
  ScratchFolder folder;
  fs::copy(golden("torch/sharded"), folder / "m");
  EXPECT_TRUE(Checkpoint::open(folder / "m").contains("embed.weight"));
  fs::copy_file(golden("torch/views.bin"), folder / "m/pytorch_model.bin");
  EXPECT_TRUE(Checkpoint::open(folder / "m").contains("transposed"));
  write_model(folder / "s", 48);
  fs::copy(folder / "s", folder / "m");
  EXPECT_TRUE(Checkpoint::open(folder / "m").contains("layer.0.weight"));
  fs::copy_file(golden("float32.safetensors"), folder / "m/model.safetensors");
  EXPECT_TRUE(Checkpoint::open(folder / "m").contains("weight"));
}

TEST(Checkpoint, NamesOfTheSameElementsAreAliasesOfTheFirst) {
  const Checkpoint tied = Checkpoint::open(golden("torch/tied.bin"));
  EXPECT_EQ(tied.aliases(), (std::map<std::string, std::string>{{"head.weight", "embed.weight"}}));
  // 20 for the table, 4 + 4 for the norm, twice 16 + 4 in the blocks, 6 steps of 8 bytes.
  EXPECT_EQ(tied.total_bytes(), 4 * (20 + 8 + 40) + 48);
  // Views of one storage that are not the same elements are no aliases.
  EXPECT_TRUE(Checkpoint::open(golden("torch/views.bin")).aliases().empty());
  EXPECT_TRUE(Checkpoint::open(golden("torch/tied.safetensors")).aliases().empty());
}

TEST(Checkpoint, AMissingNameIsAnsweredWithTheClosestOne) {
  ScratchFolder folder;
  write_model(folder / "m", 48);
  const Checkpoint checkpoint = Checkpoint::open(folder / "m");
  EXPECT_EQ(message_of([&] { checkpoint.tensor("layers.2.weight"); }, folder.path()),
            "m/model.safetensors.index.json: tensor 'layers.2.weight': no such tensor; "
            "the closest name is 'layer.2.weight'");
  EXPECT_EQ(message_of([&] { checkpoint.info("q"); }, folder.path()),
            "m/model.safetensors.index.json: tensor 'q': no such tensor");
  EXPECT_EQ(message_of([&] { checkpoint.file_of(""); }, folder.path()),
            "m/model.safetensors.index.json: no such tensor");
}

TEST(Checkpoint, ManyLongNamesDoNotMakeAnErrorSlow) {
  ScratchFolder folder;
  std::string header = "{";
  for (int i = 0; i < 20'000; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + std::string(2'000, "ab"[i % 2]) +
              R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  header += "}";
  write_file(folder / "f.safetensors", testing::le(uint64_t{header.size()}) + header);
  const Checkpoint checkpoint = Checkpoint::open(folder / "f.safetensors");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(checkpoint.tensor(std::string(2'000, 'a') + "x"), Error);
  // 80 billion pairs of letters took minutes; some seconds are for a slow or sanitized build.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Checkpoint, SaysWhatToDoWithOtherFormats) {
  ScratchFolder folder;
  const std::string none =
      ": folder holds no weights in a format that is read here: expected model.safetensors or "
      "pytorch_model.bin, or the index of either with its shards";
  const std::string other =
      ": file is in a format that is not read here: expected a .safetensors, .bin, .pt, .pth or "
      ".ckpt file";
  EXPECT_EQ(open_error(folder / "absent", folder.path()),
            "absent: no such file or folder; models are read from local folders: download it "
            "first");
  fs::create_directory(folder / "m");
  EXPECT_EQ(open_error(folder / "m", folder.path()), "m" + none);
  write_file(folder / "m/config.json", "{}");
  write_file(folder / "m/weights.pth", "x");
  EXPECT_EQ(open_error(folder / "m", folder.path()),
            "m" + none + ", got weights.pth; name the file itself if it holds the model's weights");
  write_file(folder / "m/model.gguf", "x");
  EXPECT_EQ(
      open_error(folder / "m", folder.path()),
      "m" + none + ", got model.gguf; turn the .gguf file into a folder with `nibble convert`");
  EXPECT_EQ(open_error(folder / "m/model.gguf", folder.path()),
            "m/model.gguf" + other + "; turn it into a folder with `nibble convert`");
  EXPECT_EQ(open_error(folder / "m/config.json", folder.path()), "m/config.json" + other);
}

TEST(Checkpoint, SaysWhatIsWrongWithAnIndex) {
  ScratchFolder folder;
  write_model(folder / "m", 48);
  const std::string where = "m/model.safetensors.index.json: ";
  const std::string malformed =
      "index of shards is malformed: expected an object 'weight_map' from tensor to file name";
  const std::string escape =
      "index of shards names a file that is not allowed: expected a .safetensors or .bin file in "
      "the same folder, got ";
  const struct {
    std::string index, message;
  } cases[] = {
      {"[]", where + malformed},
      {"{}", where + malformed},
      {R"({"weight_map":[]})", where + malformed},
      {R"({"weight_map":{"a":1}})",
       where + "tensor 'a': index of shards is malformed: expected a file name, got number"},
      {R"({"weight_map":{"a":"../x.safetensors"}})",
       where + "tensor 'a': " + escape + "../x.safetensors"},
      {R"({"weight_map":{"a":"/x.safetensors"}})",
       where + "tensor 'a': " + escape + "/x.safetensors"},
      {R"({"weight_map":{"a":"sub/x.safetensors"}})",
       where + "tensor 'a': " + escape + "sub/x.safetensors"},
      {R"({"weight_map":{"a":".."}})", where + "tensor 'a': " + escape + ".."},
      {R"({"weight_map":{"a":"x\u0000.safetensors"}})",
       where + "tensor 'a': " + escape + "x\\x00.safetensors"},
      {R"({"weight_map":{"a":"x.safetensors"}})",
       "m/x.safetensors: shard that the index names is missing; the download may be incomplete"},
      {R"({"weight_map":{"a":"model-00001-of-00002.safetensors"}})",
       "m/model-00001-of-00002.safetensors: tensor 'a': shard lacks a tensor that the index places "
       "in it; index and shards belong to different downloads"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.index);
    write_file(folder / "m" / kIndex, c.index);
    EXPECT_EQ(open_error(folder / "m", folder.path()), c.message);
  }
}

}  // namespace
}  // namespace nibble
