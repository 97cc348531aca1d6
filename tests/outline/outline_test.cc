// SPDX-License-Identifier: Apache-2.0
#include "nibble/outline/outline.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "nibble/base/error.h"
#include "nibble/outline/conversion.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

using testing::message_of;

int64_t footprint(const Json& config, const char* quantization, HfRelease release) {
  const ModelOutline outline = outline_of(config, "config.json", release);
  if (quantization == nullptr) {
    return measure(outline, DType::kF16, nullptr, release).memory_footprint;
  }
  const auto any = read_quantization_config(Json::parse(quantization), "config.json");
  return measure(outline, DType::kF16, &any, release).memory_footprint;
}

constexpr const char* kInt8 = R"({"load_in_8bit": true})";
constexpr const char* kFp4 = R"({"load_in_4bit": true})";
constexpr const char* kGptq = R"({"quant_method": "gptq", "bits": 4})";

// Ratios of float16 to quantized that the tests of transformers assert for these models, to all the
// digits that they give. They were measured under release 4.
TEST(Footprint, EqualsPublishedRatios) {
  const Json bloom_1b7 = {{"model_type", "bloom"}, {"hidden_size", 2048}, {"n_layer", 24}};
  const Json bloom_560m = {{"model_type", "bloom"}, {"n_embed", 1024}, {"n_layer", 24}};
  const Json gpt2_xl = {{"model_type", "gpt2"}, {"n_embd", 1600}, {"n_layer", 48}, {"n_head", 25}};
  const Json tiny_llama = {{"model_type", "llama"},     {"hidden_size", 2048},
                           {"intermediate_size", 5632}, {"num_hidden_layers", 22},
                           {"num_attention_heads", 32}, {"num_key_value_heads", 4}};
  struct Row {
    const Json& config;
    const char* quantization;
    double ratio, tolerance;
  };
  const Row rows[] = {
      {bloom_1b7, kInt8, 1.540025, 5e-7},
      {bloom_1b7, kFp4, 2.109659552692574, 1e-15},
      {gpt2_xl, kInt8, 1.8720077507258357, 1e-15},
      {gpt2_xl, kFp4, 3.3191854854152187, 1e-15},
      {tiny_llama, kInt8, 1.7869331026479096, 1e-15},
      {tiny_llama, kFp4, 2.9461410686392764, 1e-15},
      {bloom_560m, kGptq, 1.664253062, 1e-9},
  };
  for (const Row& row : rows) {
    const double plain = static_cast<double>(footprint(row.config, nullptr, HfRelease::kV4));
    const double packed =
        static_cast<double>(footprint(row.config, row.quantization, HfRelease::kV4));
    EXPECT_NEAR(plain / packed, row.ratio, row.tolerance)
        << row.config["model_type"] << ' ' << row.quantization;
  }
}

MeasuredModel measured(const Json& config, const char* quantization,
                       HfRelease release = HfRelease::kV5, DType dtype = DType::kF16) {
  const auto any = read_quantization_config(Json::parse(quantization), "config.json");
  return measure(outline_of(config, "config.json", release), dtype, &any, release);
}

const Json kOpt350m = {{"model_type", "opt"},           {"hidden_size", 1024},
                       {"num_hidden_layers", 24},       {"ffn_dim", 4096},
                       {"num_attention_heads", 16},     {"word_embed_proj_dim", 512},
                       {"do_layer_norm_before", false}, {"architectures", {"OPTForCausalLM"}}};

TEST(Conversion, CountsOfOpt350mAreThePublishedOnes) {
  constexpr int64_t kLinear = 24 * 6 + 2 + 1;
  const MeasuredModel eetq = measured(kOpt350m, R"({"quant_method": "eetq"})");
  EXPECT_EQ(eetq.linear_modules, kLinear);
  EXPECT_EQ(eetq.converted_modules, kLinear - 1);
  EXPECT_EQ(measured(kOpt350m, R"({"quant_method": "eetq", "modules_to_not_convert": ["fc1"]})")
                .converted_modules,
            kLinear - 25);
  EXPECT_EQ(measured(kOpt350m, R"({"quant_method": "awq"})").converted_modules, kLinear - 1);
  // AWQ keeps the automatic list beside the user's.
  const MeasuredModel awq =
      measured(kOpt350m, R"({"quant_method": "awq", "modules_to_not_convert": ["fc1"]})");
  EXPECT_EQ(awq.converted_modules, kLinear - 25);
  EXPECT_EQ(awq.skip_modules,
            (std::vector<std::string>{"fc1", "lm_head", "model.decoder.embed_tokens",
                                      "model.decoder.layers.23.final_layer_norm.bias"}));
}

TEST(Conversion, GptqTakesLinearModulesOfTheBlocksOnly) {
  EXPECT_EQ(measured(kOpt350m, kGptq).converted_modules, 24 * 6);  // no project_in, project_out
  EXPECT_EQ(measured(kOpt350m, R"({"quant_method": "gptq", "bits": 4,
      "modules_in_block_to_quantize": [["self_attn.q_proj", "self_attn.k_proj"], ["fc2"]]})")
                .converted_modules,
            24 * 3);
  EXPECT_EQ(measured({{"model_type", "gpt2"}}, kGptq).converted_modules, 12 * 4);
}

TEST(Conversion, HqqGoesByTags) {
  const Json llama = {{"model_type", "llama"}, {"num_hidden_layers", 2}};
  EXPECT_EQ(measured(llama, R"({"quant_method": "hqq"})").converted_modules, 14);
  EXPECT_EQ(measured(llama, R"({"quant_method": "hqq", "skip_modules": ["self_attn.q_proj"]})")
                .converted_modules,
            13);  // lm_head is converted then
  EXPECT_EQ(measured(llama, R"({"quant_method": "hqq", "quant_config": {"mlp.up_proj":
                {"weight_quant_params": {"nbits": 2, "group_size": 16}}}})")
                .converted_modules,
            2);
}

TEST(Conversion, BitsandbytesTakesSubclassesUnderRelease4Only) {
  const Json falcon = {{"model_type", "falcon"}, {"num_hidden_layers", 2}};
  EXPECT_EQ(measured(falcon, kInt8, HfRelease::kV5).converted_modules, 0);
  EXPECT_EQ(measured(falcon, kInt8, HfRelease::kV4).converted_modules, 8);
  EXPECT_EQ(measured(falcon, R"({"quant_method": "awq"})").converted_modules, 8);
}

TEST(Conversion, KeepsModulesInFloat32ByTheRulesOfEachRelease) {
  const Json t5 = {{"model_type", "t5"}, {"num_layers", 1}};
  const auto wo_dtype = [&](HfRelease release, DType dtype, const char* quantization) {
    const ModelOutline outline = outline_of(t5, "config.json", release);
    std::optional<QuantizationConfig> any;
    if (quantization) any = read_quantization_config(Json::parse(quantization), "config.json");
    const MeasuredModel model = measure(outline, dtype, any ? &*any : nullptr, release);
    for (size_t i = 0; i < outline.modules.size(); ++i) {
      if (!outline.modules[i].path.ends_with(".wo")) continue;
      EXPECT_FALSE(model.modules[i].converted);
      return model.modules[i].dtype;
    }
    throw Error("no module wo");
  };
  EXPECT_EQ(wo_dtype(HfRelease::kV5, DType::kF16, nullptr), DType::kF32);
  EXPECT_EQ(wo_dtype(HfRelease::kV5, DType::kBF16, nullptr), DType::kBF16);
  EXPECT_EQ(wo_dtype(HfRelease::kV5, DType::kBF16, kInt8), DType::kBF16);
  EXPECT_EQ(wo_dtype(HfRelease::kV4, DType::kBF16, nullptr), DType::kBF16);
  EXPECT_EQ(wo_dtype(HfRelease::kV4, DType::kBF16, kInt8), DType::kF32);
}

TEST(Outline, AnUntiedMaskedLmHasTwoBiasesUnderRelease5) {
  for (const char* type : {"bert", "roberta"}) {
    const auto parameters = [&](bool tied, HfRelease release) {
      const Json config = {{"model_type", type},
                           {"vocab_size", 200},
                           {"hidden_size", 64},
                           {"num_hidden_layers", 1},
                           {"tie_word_embeddings", tied}};
      return measure(outline_of(config, "config.json", release), DType::kF32, nullptr, release)
          .parameters;
    };
    constexpr int64_t kMatrix = 200 * 64;
    EXPECT_EQ(parameters(false, HfRelease::kV5) - parameters(true, HfRelease::kV5), kMatrix + 200);
    EXPECT_EQ(parameters(false, HfRelease::kV4) - parameters(true, HfRelease::kV4), kMatrix);
  }
}

TEST(PlainDtype, IsFloat16UnderRelease4WhenQuantized) {
  const auto bf16 = DType::kBF16;
  EXPECT_EQ(plain_dtype(std::nullopt, bf16, true, HfRelease::kV5), bf16);
  EXPECT_EQ(plain_dtype(std::nullopt, bf16, true, HfRelease::kV4), DType::kF16);
  EXPECT_EQ(plain_dtype(std::nullopt, bf16, false, HfRelease::kV4), bf16);
  EXPECT_EQ(plain_dtype(DType::kF32, bf16, true, HfRelease::kV4), DType::kF32);
  EXPECT_EQ(plain_dtype(std::nullopt, std::nullopt, true, HfRelease::kV5), DType::kF32);
}

TEST(Outline, RefusesWithOneClearLine) {
  struct Row {
    Json config;
    const char* message;
  };
  const Row rows[] = {
      {Json::array(), "not a model config: expected a JSON object, got array"},
      {Json::object(), "'model_type' is missing"},
      {{{"model_type", "llama"}, {"architectures", {"LlamaForWaffles"}}},
       "this class of model is not described: expected ...ForCausalLM, ...Model or the like, got "
       "LlamaForWaffles"},
      {{{"model_type", "gpt2"}, {"architectures", {"GPT2DoubleHeadsModel"}}},
       "this class of model is not described: expected ...ForCausalLM, ...Model or the like, got "
       "GPT2DoubleHeadsModel"},
      {{{"model_type", "llama"}, {"architectures", {"LlamaForMaskedLM"}}},
       "this class is not described for its model_type: got model_type llama"},
      {{{"model_type", "llama"}, {"hidden_size", "wide"}},
       "bad value of 'hidden_size': expected an integer from 1 to 268435456, got \"wide\""},
      {{{"model_type", "llama"}, {"num_hidden_layers", 1000000000}},
       "bad value of 'num_hidden_layers': expected an integer from 1 to 4096, got 1000000000"},
      {{{"model_type", "llama"}, {"vocab_size", 268435456}, {"hidden_size", 268435456}},
       "tensor 'model.embed_tokens': the config describes a tensor beyond reason: expected at most "
       "1099511627776 elements, got [268435456, 268435456]"},
      {{{"model_type", "clip"}, {"text_config", 7}},
       "bad value of 'text_config': expected an object, got 7"},
      {{{"model_type", "clip"}, {"text_config", {{"hidden_size", -1}}}},
       "bad value of 'text_config.hidden_size': expected an integer from 1 to 268435456, got -1"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(message_of([&] { outline_of(row.config, "config.json"); }),
              std::string("config.json: ") + row.message);
  }
  EXPECT_EQ(
      message_of([] {
        outline_of(
            {{"model_type", "mixtral"}, {"num_local_experts", 4096}, {"num_hidden_layers", 4096}},
            "config.json", HfRelease::kV4);
      }),
      "config.json: the config describes a model beyond reason: expected at most 262144 "
      "modules");
  EXPECT_EQ(message_of([] { outline_of({{"model_type", "vit"}}, "config.json", HfRelease::kV4); }),
            "config.json: the modules under release 4 of transformers are not described: got "
            "model_type vit");
  EXPECT_EQ(message_of([] { measured({{"model_type", "whisper"}}, kGptq); }),
            "GPTQ quantizes text models only: expected a model that takes input_ids, got "
            "WhisperForConditionalGeneration, which takes input_features");
  EXPECT_EQ(message_of([] { measured({{"model_type", "bert"}}, kGptq); }),
            "the decoder blocks that GPTQ quantizes are not known: got BertForMaskedLM; name their "
            "list in block_name_to_quantize");
}

}  // namespace
}  // namespace nibble
