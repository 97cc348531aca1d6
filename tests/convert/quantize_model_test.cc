// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/quantize_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/convert/convert_model.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/json_file.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/registry.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

BitsAndBytesConfig config_of(const std::string& scheme) {
  BitsAndBytesConfig config;
  config.load_in_8bit = scheme == "int8";
  config.load_in_4bit = !config.load_in_8bit;
  if (config.load_in_4bit) config.bnb_4bit_quant_type = scheme;
  return config;
}

class QuantizeModelTest : public ::testing::Test {
 protected:
  QuantizeModelTest() { write(testing::TinyModel()); }

  void write(const testing::TinyModel& model) { model.write(source_); }

  ConversionReport quantize(const BitsAndBytesConfig& config, Progress* progress = nullptr) {
    const auto scheme = make_scheme(config);
    return quantize_model(source_, packed_, *scheme, pool_, {}, progress);
  }

  testing::ScratchFolder folder_;
  const fs::path source_ = folder_ / "plain", packed_ = folder_ / "packed";
  const fs::path back_ = folder_ / "back";
  ThreadPool pool_{2};
};

TEST_F(QuantizeModelTest, PacksLinearLayersAndCopiesTheRest) {
  for (const std::string name : {"nf4", "fp4", "int8"}) {
    fs::remove_all(packed_);
    const BitsAndBytesConfig config = config_of(name);
    const ConversionReport report = quantize(config);
    EXPECT_EQ(report.modules_converted, 14);
    EXPECT_LT(report.bytes_after, report.bytes_before);

    const auto scheme = make_scheme(config);
    const Checkpoint plain = Checkpoint::open(source_), packed = Checkpoint::open(packed_);
    int64_t tensors = 0;
    for (const std::string& tensor : plain.names()) {
      const bool linear = tensor.find("proj") != std::string::npos;
      if (!linear) {
        EXPECT_TRUE(same_bytes(plain.tensor(tensor), packed.tensor(tensor))) << tensor;
        ++tensors;
        continue;
      }
      const std::string module = tensor.substr(0, tensor.size() - std::string(".weight").size());
      const Weight weight = scheme->quantize(plain.tensor(tensor), pool_);
      for (const NamedTensor& part : scheme->save(weight, module)) {
        EXPECT_TRUE(same_bytes(packed.tensor(part.name), part.tensor)) << part.name;
        ++tensors;
      }
    }
    EXPECT_EQ(tensors, static_cast<int64_t>(packed.names().size()));
    EXPECT_EQ(report.tensors, tensors);
  }
}

TEST_F(QuantizeModelTest, SavesCodesThatWereChosenAndLeavesOtherModulesPlain) {
  GptqConfig config;
  config.format = "gptq";
  config.group_size = 32;
  const auto scheme = make_scheme(config, "");
  const std::string module = "model.layers.1.self_attn.o_proj";
  const Checkpoint plain = Checkpoint::open(source_);
  Tensor other = Tensor::zeros(DType::kF32, plain.tensor(module + ".weight").shape());
  other.mutable_data<float>()[0] = 1.0f;
  const std::string norm = "model.layers.1.input_layernorm.weight";
  const ChosenCodes chosen{{{module, scheme->quantize(other, pool_)}},
                           {{norm, Tensor::zeros(DType::kF32, plain.tensor(norm).shape())}}};
  CodeChoice choice{source_ / "config.json", {module}, {"model.layers.0.", "model.layers.1."}, {}};
  choice.run = [&](const auto&, int64_t first_block, const auto& take) {
    EXPECT_EQ(first_block, 0);
    take(0, ChosenCodes());
    take(1, chosen);
  };
  const ConversionReport report =
      quantize_model(source_, packed_, *scheme, pool_, {}, nullptr, &choice);
  EXPECT_EQ(report.modules_converted, 1);
  EXPECT_EQ(report.modules_kept, 13);
  const Checkpoint packed = Checkpoint::open(packed_);
  for (const NamedTensor& part : scheme->save(chosen.weights.at(module), module)) {
    EXPECT_TRUE(same_bytes(packed.tensor(part.name), part.tensor)) << part.name;
  }
  EXPECT_TRUE(same_bytes(packed.tensor(norm), chosen.tensors.at(norm)));
  const std::string kept = "model.layers.0.self_attn.o_proj.weight";
  EXPECT_TRUE(same_bytes(packed.tensor(kept), plain.tensor(kept)));
  EXPECT_NO_THROW(open_model(packed_));
}

TEST_F(QuantizeModelTest, LeavesModulesPlainWhoseShapeThePackingCannotHold) {
  testing::TinyModel odd;
  odd.intermediate = 100;  // 100 codes of 4 bits fill no words of 32
  write(odd);
  GptqConfig gptq;
  gptq.format = "gptq";
  gptq.group_size = 32;
  AwqConfig awq;
  awq.format = "gemm";
  awq.group_size = 32;
  HqqConfig hqq;
  const std::vector<std::pair<QuantizationConfig, int64_t>> cases = {
      {gptq, 6}, {awq, 4}, {hqq, 2}};  // down_proj has 100 columns, gate_proj and up_proj 100 rows
  for (const auto& [config, misfits] : cases) {
    fs::remove_all(packed_);
    const auto scheme = make_scheme(config, "");
    const ConversionReport report = quantize_model(source_, packed_, *scheme, pool_);
    EXPECT_EQ(static_cast<int64_t>(report.misfits.size()), misfits) << scheme->name();
    EXPECT_EQ(report.modules_kept, misfits);
    EXPECT_EQ(report.modules_converted, 14 - misfits);
    const Checkpoint plain = Checkpoint::open(source_), packed = Checkpoint::open(packed_);
    for (const std::string& module : report.misfits) {
      EXPECT_TRUE(same_bytes(packed.tensor(module + ".weight"), plain.tensor(module + ".weight")));
    }
    const OpenedModel opened = open_model(packed_);
    EXPECT_TRUE(opened.warnings.empty()) << opened.warnings.front();
    int64_t quantized = 0;
    for (const ModuleInfo& module : opened.modules) quantized += module.quantizable;
    EXPECT_EQ(quantized, report.modules_converted);
  }
  const auto written = read_json_file(packed_ / "config.json")["quantization_config"];
  EXPECT_EQ(written["skip_modules"], (nlohmann::ordered_json{"lm_head", "mlp.down_proj"}));

  gptq.bits = 2;
  odd.hidden = 40;
  odd.head_dim = 10;
  write(odd);
  try {
    quantize_model(source_, folder_ / "none", *make_scheme(gptq, ""), pool_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("no module that files of gptq can hold"),
              std::string::npos)
        << error.what();
  }
  EXPECT_FALSE(fs::exists(folder_ / "none"));
}

TEST_F(QuantizeModelTest, WritesWhatTransformersNeedsToLoadIt) {
  write_file_atomically(source_ / "generation_config.json", "{\"do_sample\": true}\n");
  quantize(config_of("nf4"));
  const auto config = read_json_file(packed_ / "config.json");
  EXPECT_EQ(config.at("quantization_config").at("quant_method"), "bitsandbytes");
  EXPECT_EQ(config.at("quantization_config").at("bnb_4bit_quant_type"), "nf4");
  EXPECT_EQ(config.at("dtype"), "float32");
  EXPECT_EQ(config.at("hidden_size"), 64);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    EXPECT_EQ(read_text_file(packed_ / file), read_text_file(source_ / file)) << file;
  }
}

TEST_F(QuantizeModelTest, LeavesSkippedModulesAndTheHeadAlone) {
  testing::TinyModel untied;
  untied.tied = false;
  write(untied);
  BitsAndBytesConfig config = config_of("int8");
  const ConversionReport automatic = quantize(config);
  EXPECT_EQ(automatic.modules_converted, 14);
  EXPECT_EQ(automatic.modules_kept, 1);  // lm_head
  EXPECT_FALSE(Checkpoint::open(packed_).contains("lm_head.SCB"));

  fs::remove_all(packed_);
  config.llm_int8_skip_modules = {"lm_head", "down_proj"};
  EXPECT_EQ(quantize(config).modules_kept, 3);
  const Checkpoint packed = Checkpoint::open(packed_);
  EXPECT_FALSE(packed.contains("model.layers.0.mlp.down_proj.SCB"));
  EXPECT_TRUE(packed.contains("model.layers.0.mlp.up_proj.SCB"));
  EXPECT_EQ(read_json_file(packed_ / "config.json")["quantization_config"]["llm_int8_skip_modules"],
            (nlohmann::ordered_json{"lm_head", "down_proj"}));
}

TEST_F(QuantizeModelTest, LoadsInTheDtypeOfTheConfigFirst) {
  auto json = read_json_file(source_ / "config.json");
  json["dtype"] = "float16";  // the file has float32
  write_file_atomically(source_ / "config.json", format_json(json));
  const BitsAndBytesConfig config = config_of("nf4");
  quantize(config);
  const auto scheme = make_scheme(config);
  const Checkpoint plain = Checkpoint::open(source_), packed = Checkpoint::open(packed_);
  for (const std::string& name : plain.names()) {
    const Tensor half = to_dtype(plain.tensor(name), DType::kF16);
    if (name.find("proj") == std::string::npos) {
      EXPECT_TRUE(same_bytes(packed.tensor(name), half)) << name;
      continue;
    }
    const std::string module = name.substr(0, name.size() - std::string(".weight").size());
    for (const NamedTensor& part : scheme->save(scheme->quantize(half, pool_), module)) {
      EXPECT_TRUE(same_bytes(packed.tensor(part.name), part.tensor)) << part.name;
    }
  }

  OpenOptions options;
  options.quantization = config;
  const OpenedModel on_the_fly = open_model(source_, options), stored = open_model(packed_);
  EXPECT_EQ(on_the_fly.memory_footprint, stored.memory_footprint);
  std::map<std::string, Tensor> values;
  stored.model->visit([&](const std::string& path, const Linear& linear) {
    values.emplace(path, linear.weight().weight().dequantize());
  });
  on_the_fly.model->visit([&](const std::string& path, const Linear& linear) {
    EXPECT_TRUE(same_bytes(linear.weight().weight().dequantize(), values.at(path))) << path;
  });
}

TEST_F(QuantizeModelTest, RefusesAQuantizedModel) {
  quantize(config_of("nf4"));
  EXPECT_THROW(quantize_model(packed_, back_, *make_scheme(config_of("int8")), pool_), Error);
  EXPECT_FALSE(fs::exists(back_));
}

TEST_F(QuantizeModelTest, KeepsAnExistingDestinationUnlessTold) {
  fs::create_directories(packed_);
  write_file_atomically(packed_ / "precious.txt", "mine");
  EXPECT_THROW(quantize(config_of("nf4")), Error);
  EXPECT_EQ(read_text_file(packed_ / "precious.txt"), "mine");
  CheckpointWriterOptions overwrite;
  overwrite.overwrite = true;
  quantize_model(source_, packed_, *make_scheme(config_of("nf4")), pool_, overwrite);
  EXPECT_TRUE(fs::exists(packed_ / "model.safetensors"));
  EXPECT_EQ(read_text_file(packed_ / "precious.txt"), "mine");
}

TEST_F(QuantizeModelTest, NamesTheTensorThatIsNotFinite) {
  const std::string bad = "model.layers.1.mlp.up_proj.weight";
  testing::TinyModel model;
  CheckpointWriterOptions options;
  options.overwrite = true;
  CheckpointWriter writer(source_, options);
  for (auto [name, tensor] : model.tensors()) {
    if (name == bad) tensor.mutable_data<float>()[7] = std::numeric_limits<float>::infinity();
    writer.add(name, tensor);
  }
  writer.commit();
  try {
    quantize(config_of("nf4"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(bad), std::string::npos) << error.what();
  }
  EXPECT_FALSE(fs::exists(packed_));
}

TEST_F(QuantizeModelTest, NamesAMissingWeight) {
  CheckpointWriterOptions options;
  options.overwrite = true;
  CheckpointWriter writer(source_, options);
  for (const auto& [name, tensor] : testing::TinyModel().tensors()) {
    if (name != "model.layers.1.mlp.up_proj.weight") writer.add(name, tensor);
  }
  writer.commit();
  try {
    quantize(config_of("nf4"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("up_proj"), std::string::npos) << error.what();
  }
}

TEST_F(QuantizeModelTest, DequantizeGivesTheValuesThatTheCodesDecodeTo) {
  for (const std::string name : {"nf4", "int8"}) {
    fs::remove_all(packed_);
    fs::remove_all(back_);
    BitsAndBytesConfig config = config_of(name);
    config.bnb_4bit_use_double_quant = name == "nf4";
    quantize(config);
    const ConversionReport report = dequantize_model(packed_, back_, std::nullopt, pool_);
    EXPECT_EQ(report.modules_converted, 14);
    const Checkpoint plain = Checkpoint::open(source_), back = Checkpoint::open(back_);
    EXPECT_EQ(back.names(), plain.names());
    const auto scheme = make_scheme(config);
    for (const std::string& tensor : plain.names()) {
      const bool linear = tensor.find("proj") != std::string::npos;
      const Tensor expected = linear ? scheme->quantize(plain.tensor(tensor), pool_).dequantize()
                                     : plain.tensor(tensor);
      EXPECT_TRUE(same_bytes(back.tensor(tensor), expected)) << tensor;
    }
    EXPECT_FALSE(read_json_file(back_ / "config.json").contains("quantization_config"));
  }
}

TEST_F(QuantizeModelTest, DequantizeRefusesWhatTheConfigDoesNotDescribe) {
  quantize(config_of("nf4"));
  nlohmann::ordered_json config = read_json_file(packed_ / "config.json");
  config["quantization_config"] = config_of("int8").to_json();
  write_file_atomically(packed_ / "config.json", config.dump());
  try {
    dequantize_model(packed_, back_, std::nullopt, pool_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what())
                  .find("the module is stored neither as quantization_config says nor plain: "
                        "expected int8 or a float dtype, got uint8"),
              std::string::npos)
        << error.what();
  }
  EXPECT_FALSE(fs::exists(back_));
}

TEST_F(QuantizeModelTest, DequantizeCastsAllFloatsWhenAsked) {
  quantize(config_of("nf4"));
  dequantize_model(packed_, back_, DType::kBF16, pool_);
  const Checkpoint back = Checkpoint::open(back_);
  for (const std::string& name : back.names()) {
    EXPECT_EQ(back.info(name).dtype, DType::kBF16) << name;
  }
  EXPECT_EQ(read_json_file(back_ / "config.json").at("dtype"), "bfloat16");
  EXPECT_THROW(dequantize_model(source_, folder_ / "no", std::nullopt, pool_), Error);
}

TEST_F(QuantizeModelTest, ConvertRewritesShardsAndDtype) {
  CheckpointWriterOptions small;
  small.max_shard_size = 50000;
  convert_model(source_, back_, DType::kF16, pool_, small);
  EXPECT_TRUE(fs::exists(back_ / "model.safetensors.index.json"));
  const Checkpoint plain = Checkpoint::open(source_), back = Checkpoint::open(back_);
  EXPECT_GT(back.files().size(), 1u);
  EXPECT_EQ(back.names(), plain.names());
  for (const std::string& name : back.names()) {
    EXPECT_TRUE(same_bytes(back.tensor(name), to_dtype(plain.tensor(name), DType::kF16))) << name;
  }
  EXPECT_EQ(read_json_file(back_ / "config.json").at("dtype"), "float16");
  quantize(config_of("nf4"));
  EXPECT_THROW(convert_model(packed_, folder_ / "no", DType::kF16, pool_), Error);
}

}  // namespace
}  // namespace nibble
