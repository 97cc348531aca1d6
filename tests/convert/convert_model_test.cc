// SPDX-License-Identifier: Apache-2.0
//
// Pickled checkpoints become safetensors: what transformers would save of the same model.
#include "nibble/convert/convert_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "nibble/convert/quantize_model.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/io/json_file.h"
#include "nibble/quant/registry.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

ConversionReport convert(const std::filesystem::path& source,
                         const std::filesystem::path& destination, std::optional<DType> dtype,
                         CheckpointWriterOptions options = {}) {
  ThreadPool pool(2);
  return convert_model(source, destination, dtype, pool, std::move(options));
}

namespace fs = std::filesystem;

fs::path golden(const std::string& name) { return paths::golden("io") / "torch" / name; }

void expect_same(const Checkpoint& found, const Checkpoint& expected) {
  ASSERT_EQ(found.names(), expected.names());
  for (const std::string& name : expected.names()) {
    SCOPED_TRACE(name);
    const Tensor a = found.tensor(name), b = expected.tensor(name);
    EXPECT_EQ(a.dtype(), b.dtype());
    EXPECT_EQ(a.shape(), b.shape());
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), static_cast<size_t>(b.nbytes())), 0);
  }
}

TEST(ConvertModel, APickleBecomesTheTensorsThatTorchLoads) {
  testing::ScratchFolder folder;
  for (const std::string name :
       {"dtypes", "dtypes_legacy", "views", "views_legacy", "parameters"}) {
    SCOPED_TRACE(name);
    const fs::path out = folder / name;
    convert(golden(name + ".bin"), out, std::nullopt);
    expect_same(Checkpoint::open(out), Checkpoint::open(golden(name + ".safetensors")));
  }
}

TEST(ConvertModel, TiedWeightsAreSavedOnceAsTransformersSavesThem) {
  testing::ScratchFolder folder;
  CheckpointWriterOptions options;
  options.max_shard_size = 2000;
  convert(golden("tied_model"), folder / "out", std::nullopt, options);
  const Checkpoint found = Checkpoint::open(folder / "out");
  EXPECT_FALSE(found.contains("lm_head.weight"));
  expect_same(found, Checkpoint::open(golden("tied_model_saved")));
  const std::string index = "model.safetensors.index.json";
  EXPECT_EQ(read_json_file(folder / "out" / index)["metadata"],
            read_json_file(golden("tied_model_saved") / index)["metadata"]);
  EXPECT_EQ(found.files()[0].metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
}

TEST(ConvertModel, WeightsThatTheConfigDoesNotTieAreAllSaved) {
  testing::ScratchFolder folder;
  fs::copy(golden("tied_model"), folder / "source");
  nlohmann::ordered_json config = read_json_file(folder / "source/config.json");
  config["tie_word_embeddings"] = false;
  write_json_file(folder / "source/config.json", config);
  convert(folder / "source", folder / "out", std::nullopt);
  EXPECT_TRUE(Checkpoint::open(folder / "out").contains("lm_head.weight"));
}

// A safetensors file that holds the output embedding a second time.
TEST(ConvertModel, ATiedWeightThatIsStoredTwiceIsSavedOnceUnlessItDiffers) {
  testing::ScratchFolder folder;
  convert(golden("tied_model"), folder / "once", std::nullopt);
  const Checkpoint once = Checkpoint::open(folder / "once");
  const auto twice = [&](const fs::path& source, bool changed) {
    const Tensor embedding = once.tensor("model.embed_tokens.weight");
    const Tensor head = Tensor::empty(embedding.dtype(), embedding.shape());
    std::memcpy(head.raw(), embedding.raw(), static_cast<size_t>(embedding.nbytes()));
    if (changed) static_cast<char*>(head.raw())[0] ^= 1;
    CheckpointWriter writer(source, {});
    for (const std::string& name : once.names()) writer.add(name, once.tensor(name));
    writer.add("lm_head.weight", head);
    writer.add_file("config.json", format_json(read_json_file(folder / "once/config.json")));
    writer.commit();
  };
  twice(folder / "same", false);
  twice(folder / "other", true);
  ASSERT_TRUE(Checkpoint::open(folder / "same").contains("lm_head.weight"));
  convert(folder / "same", folder / "same_out", std::nullopt);
  convert(folder / "other", folder / "other_out", std::nullopt);
  expect_same(Checkpoint::open(folder / "same_out"), once);
  EXPECT_TRUE(Checkpoint::open(folder / "other_out").contains("lm_head.weight"));
}

TEST(ConvertModel, WithoutAConfigTheFileSaysWhichNamesItDropped) {
  testing::ScratchFolder folder;
  convert(golden("tied.bin"), folder / "out", std::nullopt);
  const Checkpoint found = Checkpoint::open(folder / "out");
  EXPECT_FALSE(found.contains("head.weight"));
  EXPECT_EQ(found.files()[0].metadata(), (std::map<std::string, std::string>{
                                             {"format", "pt"}, {"head.weight", "embed.weight"}}));
}

TEST(ConvertModel, CastsEightBitFloatsToo) {
  testing::ScratchFolder folder;
  convert(golden("dtypes.bin"), folder / "out", DType::kF16);
  const Checkpoint found = Checkpoint::open(folder / "out");
  const Checkpoint source = Checkpoint::open(golden("dtypes.bin"));
  for (const std::string& name : found.names()) {
    const DType before = source.info(name).dtype;
    EXPECT_EQ(found.info(name).dtype, is_float(before) ? DType::kF16 : before) << name;
  }
}

TEST(ConvertModel, Float16LeavesInFloat32WhatTheClassKeepsThere) {
  testing::ScratchFolder folder;
  const std::string block = "encoder.block.0.layer.1.DenseReluDense.";
  CheckpointWriter writer(folder / "t5", {});
  for (const char* name : {"wi.weight", "wo.weight"}) {
    writer.add(block + name, to_dtype(Tensor::from<float>({1.0f, 2.0f}, {1, 2}), DType::kBF16));
  }
  writer.add_file("config.json", R"({"model_type": "t5"})");
  writer.commit();
  const auto dtypes = [&](DType dtype) {
    fs::remove_all(folder / "out");
    convert(folder / "t5", folder / "out", dtype);
    const Checkpoint out = Checkpoint::open(folder / "out");
    return std::pair(out.info(block + "wi.weight").dtype, out.info(block + "wo.weight").dtype);
  };
  EXPECT_EQ(dtypes(DType::kF16), std::pair(DType::kF16, DType::kF32));
  EXPECT_EQ(dtypes(DType::kBF16), std::pair(DType::kBF16, DType::kBF16));
}

TEST(ConvertModel, APickledModelIsQuantizedLikeItsSafetensors) {
  testing::ScratchFolder folder;
  ThreadPool pool(1);
  BitsAndBytesConfig config;
  config.load_in_4bit = true;
  const auto scheme = make_scheme(config);
  convert(golden("tied_model"), folder / "plain", std::nullopt);
  quantize_model(golden("tied_model"), folder / "of_pickle", *scheme, pool);
  quantize_model(folder / "plain", folder / "of_plain", *scheme, pool);
  expect_same(Checkpoint::open(folder / "of_pickle"), Checkpoint::open(folder / "of_plain"));
}

TEST(ConvertModel, ReplacingAPickledModelLeavesNoPickleBehind) {
  testing::ScratchFolder folder;
  fs::copy(golden("tied_model"), folder / "m");
  CheckpointWriterOptions options;
  options.overwrite = true;
  convert(folder / "m", folder / "m", std::nullopt, options);
  EXPECT_FALSE(fs::exists(folder / "m/pytorch_model.bin"));
  EXPECT_TRUE(fs::exists(folder / "m/model.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "m/config.json"));
}

}  // namespace
}  // namespace nibble
