// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/inspect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "nibble/base/error.h"
#include "nibble/convert/inspect_config.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/quantize_model.h"
#include "nibble/io/checkpoint.h"
#include "nibble/nn/skip_modules.h"
#include "nibble/outline/outline.h"
#include "nibble/quant/registry.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class InspectTest : public ::testing::Test {
 protected:
  InspectTest() {
    testing::TinyModel().write(plain_);
    BitsAndBytesConfig config;
    config.load_in_4bit = true;
    config.bnb_4bit_quant_type = "nf4";
    scheme_ = make_scheme(config);
    quantize_model(plain_, packed_, *scheme_, pool_);
  }

  static const InspectedModule& module(const Inspection& inspection, const std::string& name) {
    const auto found = std::find_if(inspection.modules.begin(), inspection.modules.end(),
                                    [&](const InspectedModule& m) { return m.name == name; });
    if (found == inspection.modules.end()) throw Error("no module " + name);
    return *found;
  }

  testing::ScratchFolder folder_;
  const fs::path plain_ = folder_ / "plain", packed_ = folder_ / "packed";
  ThreadPool pool_{2};
  std::unique_ptr<Scheme> scheme_;
};

constexpr int64_t kLinear = 2 * (64 * 64 * 2 + 32 * 64 * 2 + 96 * 64 * 3);
constexpr int64_t kOther = 96 * 64 + 5 * 64;  // embeddings and norms
constexpr int64_t kRotaryBuffers = 2 * (16 / 2) * 4;

TEST_F(InspectTest, CountsParametersOnceAndBytesAsStored) {
  const Inspection plain = inspect_model(plain_, std::nullopt, pool_);
  EXPECT_EQ(plain.parameters, kLinear + kOther);
  EXPECT_EQ(plain.bytes, 4 * (kLinear + kOther));
  EXPECT_EQ(plain.memory_footprint, plain.bytes + kRotaryBuffers);
  EXPECT_EQ(plain.model_type, "llama");
  EXPECT_EQ(plain.scheme, "");
  EXPECT_EQ(module(plain, "lm_head").tied_to, "model.embed_tokens");

  const Inspection packed = inspect_model(packed_, std::nullopt, pool_);
  EXPECT_EQ(packed.parameters, plain.parameters);
  EXPECT_EQ(packed.bytes, Checkpoint::open(packed_).total_bytes());
  // transformers counts the codes, not the scales.
  EXPECT_EQ(packed.memory_footprint, kLinear / 2 + 4 * kOther + kRotaryBuffers);
  EXPECT_EQ(packed.scheme, "nf4");
}

TEST_F(InspectTest, BitsPerWeightIncludeTheScales) {
  const Inspection packed = inspect_model(packed_, std::nullopt, pool_);
  const InspectedModule& up = module(packed, "model.layers.0.mlp.up_proj");
  EXPECT_EQ(up.scheme, "nf4");
  EXPECT_EQ(up.shape, (Shape{96, 64}));
  EXPECT_GT(up.bits_per_weight, 4.5);  // 4 bits, one float32 per 64, the code table and the state
  EXPECT_LT(up.bits_per_weight, 5.0);
  EXPECT_EQ(module(packed, "model.embed_tokens").bits_per_weight, 32);
}

TEST_F(InspectTest, ComparesWithTheOriginal) {
  const Inspection packed = inspect_model(packed_, plain_, pool_);
  const std::string name = "model.layers.1.self_attn.q_proj";
  const Tensor original = Checkpoint::open(plain_).tensor(name + ".weight");
  const Tensor decoded = scheme_->quantize(original, pool_).dequantize();
  double max_abs = 0, squares = 0, reference = 0;
  for (size_t i = 0; i < original.data<float>().size(); ++i) {
    const double a = decoded.data<float>()[i], b = original.data<float>()[i];
    max_abs = std::max(max_abs, std::abs(a - b));
    squares += (a - b) * (a - b);
    reference += b * b;
  }
  ASSERT_TRUE(module(packed, name).error);
  EXPECT_DOUBLE_EQ(module(packed, name).error->max_abs, max_abs);
  EXPECT_NEAR(module(packed, name).error->relative_rms, std::sqrt(squares / reference), 1e-12);
  EXPECT_EQ(module(packed, "model.embed_tokens").error->max_abs, 0);
  EXPECT_FALSE(module(packed, "lm_head").error);
  // NF4 with blocks of 64 on normal weights (arXiv 2305.14314) errs by about a tenth.
  EXPECT_NEAR(packed.error->relative_rms, 0.07, 0.04);

  const Inspection same = inspect_model(plain_, plain_, pool_);
  EXPECT_EQ(same.error->max_abs, 0);
  EXPECT_EQ(same.error->relative_rms, 0);
}

TEST_F(InspectTest, AFileOrAnUnknownModelGivesTensorsOnly) {
  const Inspection file = inspect_model(plain_ / "model.safetensors", std::nullopt, pool_);
  EXPECT_TRUE(file.modules.empty());
  EXPECT_EQ(file.tensors.size(), Checkpoint::open(plain_).names().size());
  EXPECT_EQ(file.parameters, kLinear + kOther);
  EXPECT_THROW(inspect_model(plain_ / "model.safetensors", plain_, pool_), Error);

  auto config = testing::TinyModel().config();
  config["model_type"] = "mystery";
  write_json_file(plain_ / "config.json", config);
  const Inspection unknown = inspect_model(plain_, std::nullopt, pool_);
  EXPECT_TRUE(unknown.modules.empty());
  EXPECT_NE(unknown.note.find("mystery"), std::string::npos);
}

TEST_F(InspectTest, RefusesToCompareDifferentModels) {
  testing::TinyModel wider;
  wider.intermediate = 128;
  wider.write(folder_ / "wider");
  EXPECT_THROW(inspect_model(packed_, folder_ / "wider", pool_), Error);
}

// The outline of a config and the modules that the runnable class asks for are one tree.
TEST_F(InspectTest, TheConfigAloneTellsWhatTheWeightsTell) {
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3"}) {
    SCOPED_TRACE(type);
    nlohmann::ordered_json json = testing::TinyModel().config();
    json["model_type"] = type;
    json.erase("architectures");
    const ModelConfig config = ModelConfig::from_json(json, "config.json");
    const ModelOutline outline = outline_of(json, "config.json");
    const std::vector<ModuleInfo> runnable = modules_of(config);
    size_t i = 0;
    std::map<std::string, const OutlineModule*> by_name;
    for (const OutlineModule& module : outline.modules) {
      if (module.kind == OutlineModule::Kind::kBuffer) continue;
      const bool norm = module.kind == OutlineModule::Kind::kNorm;
      by_name[module.path + (norm ? ".weight" : "")] = &module;
      ++i;
    }
    EXPECT_EQ(i, runnable.size());
    for (const ModuleInfo& module : runnable) {
      ASSERT_TRUE(by_name.contains(module.name)) << module.name;
      const OutlineModule& other = *by_name[module.name];
      EXPECT_EQ(other.shape.front(), module.rows) << module.name;
      EXPECT_EQ(other.shape.size() > 1 ? other.shape[1] : 1, module.cols) << module.name;
      EXPECT_EQ(other.bias > 0, module.bias) << module.name;
      EXPECT_EQ(!other.tied_to.empty(), !module.tied_to.empty()) << module.name;
    }
    EXPECT_EQ(automatic_skip_modules(outline.names(), HfRelease::kV5),
              automatic_skip_modules(names_of(runnable), HfRelease::kV5));
  }
}

TEST_F(InspectTest, TheConfigAloneGivesTheFootprintOfTheWeights) {
  for (const fs::path& folder : {plain_, packed_}) {
    EXPECT_TRUE(is_config_only(folder / "config.json"));
    EXPECT_FALSE(is_config_only(folder));
    const Inspection with = inspect_model(folder, std::nullopt, pool_);
    const Inspection without = inspect_config(folder / "config.json", {});
    EXPECT_EQ(without.parameters, with.parameters);
    EXPECT_EQ(without.memory_footprint, with.memory_footprint);
    EXPECT_EQ(without.scheme, with.scheme);
    EXPECT_EQ(without.quantization.has_value(), with.quantization.has_value());
    if (!with.quantization) continue;
    EXPECT_EQ(without.quantization->converted_modules, with.quantization->converted_modules);
    EXPECT_EQ(without.quantization->linear_modules, with.quantization->linear_modules);
    EXPECT_EQ(with.quantization->bits, 4);
  }
}

TEST_F(InspectTest, AQuantizedConfigIgnoresAnotherQuantization) {
  ConfigInspection options;
  BitsAndBytesConfig config;
  config.load_in_8bit = true;
  options.quantization = config;
  EXPECT_EQ(inspect_config(packed_, options).scheme, "nf4");
  EXPECT_EQ(inspect_config(plain_, options).scheme, "int8");
}

}  // namespace
}  // namespace nibble
