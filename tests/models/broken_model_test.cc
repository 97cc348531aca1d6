// SPDX-License-Identifier: Apache-2.0
//
// Model folders whose weights do not fit their config: each refusal names the file, the tensor and
// what to do.
#include <gtest/gtest.h>

#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/io/json_file.h"
#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

// A copy of a golden model that can be bent before it is written.
class BentModel {
 public:
  explicit BentModel(const std::string& golden)
      : checkpoint_(Checkpoint::open(golden_model(golden))),
        config(read_json_file(golden_model(golden) / "config.json")) {
    for (const std::string& name : checkpoint_.names()) tensors[name] = checkpoint_.tensor(name);
  }

  fs::path write() const {
    CheckpointWriter writer(folder_.path() / "model");
    for (const auto& [name, tensor] : tensors) writer.add(name, tensor);
    writer.add_file("config.json", format_json(config));
    writer.commit();
    return folder_.path() / "model";
  }

  std::string error() const {
    const fs::path folder = write();
    std::string message = message_of([&] { RunningModel running(folder); });
    const std::string prefix = (folder / "model.safetensors").string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  }

 private:
  ScratchFolder folder_;
  Checkpoint checkpoint_;

 public:
  std::map<std::string, Tensor> tensors;
  nlohmann::ordered_json config;
};

constexpr const char* kQuery = "model.layers.1.self_attn.q_proj.weight";

TEST(BrokenModel, MissingTensor) {
  BentModel model("llama");
  model.tensors.erase(kQuery);
  const std::string message = model.error();
  EXPECT_NE(message.find(std::string("tensor '") + kQuery + "'"), std::string::npos) << message;
}

TEST(BrokenModel, MissingBias) {
  BentModel model("llama");
  model.config["attention_bias"] = true;
  const std::string message = model.error();
  EXPECT_NE(message.find("tensor 'model.layers.0.self_attn.q_proj.bias'"), std::string::npos)
      << message;
}

TEST(BrokenModel, WrongShape) {
  BentModel model("llama");
  model.config["intermediate_size"] = 64;
  EXPECT_EQ(model.error(),
            "tensor 'model.layers.0.mlp.gate_proj.weight': the tensor does not fit the model: "
            "expected a float dtype, shape [64, 32], got float32 [48, 32]; config.json does not "
            "belong to this checkpoint");
}

TEST(BrokenModel, WrongNormShape) {
  BentModel model("llama");
  model.tensors["model.norm.weight"] = Tensor::zeros(DType::kF32, {33});
  EXPECT_EQ(model.error(),
            "tensor 'model.norm.weight': the tensor does not fit the model: expected a float "
            "dtype, shape [32], got float32 [33]; config.json does not belong to this checkpoint");
}

TEST(BrokenModel, IntegersWhereFloatsBelong) {
  BentModel model("llama");
  model.tensors["model.norm.weight"] = Tensor::zeros(DType::kI64, {32});
  EXPECT_NE(model.error().find("expected a float dtype, shape [32], got int64 [32]"),
            std::string::npos);
}

TEST(BrokenModel, PackedWithoutQuantizationConfig) {
  for (const char* golden : {"llama_nf4", "llama_int8"}) {
    BentModel model(golden);
    model.config.erase("quantization_config");
    const bool nf4 = std::string(golden) == "llama_nf4";
    EXPECT_EQ(model.error(),
              std::string("tensor 'model.layers.0.self_attn.q_proj.weight': the tensor does not "
                          "fit the model: expected a float dtype, shape [32, 32], got ") +
                  (nf4 ? "uint8 [512, 1]" : "int8 [32, 32]") +
                  "; the tensor is quantized, but config.json has no quantization_config: restore "
                  "the config.json that was saved with it");
  }
}

TEST(BrokenModel, PackedWithAnotherScheme) {
  BentModel model("llama_int8");
  model.config["quantization_config"] =
      read_json_file(golden_model("llama_nf4") / "config.json")["quantization_config"];
  EXPECT_NE(model.error().find("the quantization_config of config.json says nf4, which the tensor "
                               "is not"),
            std::string::npos);
}

TEST(BrokenModel, NotFiniteWeightCannotBeQuantized) {
  BentModel model("llama");
  Tensor bent = Tensor::zeros(DType::kF32, {32, 32});
  bent.mutable_data<float>()[5] = INFINITY;
  model.tensors[kQuery] = bent;
  const fs::path folder = model.write();
  OpenOptions options;
  options.quantization.emplace().load_in_4bit = true;
  const std::string message =
      message_of([&] { RunningModel running(folder, "reference", options); });
  EXPECT_TRUE(message.starts_with((folder / "model.safetensors").string() + ": tensor '" + kQuery))
      << message;
}

TEST(BentModel, UnusedTensorsAreWarnedOf) {
  BentModel model("llama");
  for (int i = 0; i < 7; ++i) {
    model.tensors["extra." + std::to_string(i)] = Tensor::zeros(DType::kF32, {1});
  }
  model.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = Tensor::zeros(DType::kF32, {4});
  const RunningModel running(model.write());
  EXPECT_EQ(running.opened.warnings,
            (std::vector<std::string>{
                "7 tensors of the checkpoint are not used by the model: extra.0, extra.1, "
                "extra.2, extra.3, extra.4, ..."}));
}

TEST(BentModel, CopyOfATiedWeightIsIgnored) {
  BentModel model("qwen2");
  model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"];
  const RunningModel running(model.write());
  EXPECT_TRUE(running.opened.warnings.empty());
  EXPECT_EQ(running.opened.modules.back().tied_to, "model.embed_tokens");
}

// As transformers does: the file is believed, not tie_word_embeddings.
TEST(BentModel, DifferentHeadIsNotTied) {
  BentModel model("qwen2");
  model.tensors["lm_head.weight"] = Tensor::zeros(DType::kBF16, {128, 32});
  const RunningModel running(model.write());
  EXPECT_EQ(running.opened.modules.back().tied_to, "");
  KvCache cache = running.model().new_cache();
  for (const float logit : running.run(cache, cache.add_sequence(), {5})) EXPECT_EQ(logit, 0.0f);
}

// Safetensors files of tied models may hold the weight under the head's name alone.
TEST(BentModel, TiedWeightUnderTheNameOfTheHead) {
  BentModel model("qwen2");
  model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"];
  model.tensors.erase("model.embed_tokens.weight");
  const RunningModel running(model.write());
  EXPECT_TRUE(running.opened.warnings.empty());
  KvCache cache = running.model().new_cache();
  const auto logits = running.run(cache, cache.add_sequence(), expected_ids("qwen2", "ids"));
  EXPECT_LE(max_difference(logits, expected_tensor("qwen2", "logits").data<float>()), 4e-5);
}

}  // namespace
}  // namespace nibble::testing
