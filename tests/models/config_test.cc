// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/config.h"

#include <gtest/gtest.h>

#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

using Json = nlohmann::ordered_json;

Json minimal(const std::string& model_type = "llama") {
  return {{"model_type", model_type}, {"vocab_size", 100},      {"hidden_size", 256},
          {"intermediate_size", 512}, {"num_hidden_layers", 3}, {"num_attention_heads", 32}};
}

Json with(Json config, const Json& changes) {
  config.update(changes);
  return config;
}

ModelConfig parse(const Json& json) { return ModelConfig::from_json(json, "config.json"); }

TEST(ModelConfig, FillsInTheDefaultsOfTransformers) {
  const ModelConfig llama = parse(minimal());
  EXPECT_EQ(llama.num_key_value_heads, 32);
  EXPECT_EQ(llama.head_dim, 8);
  EXPECT_EQ(llama.max_position_embeddings, 2048);
  EXPECT_EQ(llama.rms_norm_eps, 1e-6f);
  EXPECT_EQ(llama.bos_token_id, 1);
  EXPECT_EQ(llama.eos_token_id, std::vector<int32_t>{2});
  EXPECT_EQ(llama.pad_token_id, -1);
  EXPECT_EQ(llama.sliding_window, (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(llama.rope.rope_type, "default");
  EXPECT_EQ(llama.rope.rope_theta, 10000.0);
  EXPECT_EQ(llama.dtype, std::nullopt);
  EXPECT_FALSE(llama.tie_word_embeddings || llama.attention_bias || llama.mlp_bias ||
               llama.qkv_bias || llama.qk_norm);
  EXPECT_TRUE(llama.quantization.is_null());

  const ModelConfig mistral = parse(minimal("mistral"));
  EXPECT_EQ(mistral.num_key_value_heads, 8);
  EXPECT_EQ(mistral.max_position_embeddings, 131072);
  EXPECT_EQ(mistral.sliding_window, (std::vector<int64_t>{4096, 4096, 4096}));

  const ModelConfig qwen2 = parse(minimal("qwen2"));
  EXPECT_EQ(qwen2.num_key_value_heads, 32);
  EXPECT_EQ(qwen2.max_position_embeddings, 32768);
  EXPECT_EQ(qwen2.bos_token_id, -1);
  EXPECT_TRUE(qwen2.eos_token_id.empty());
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_EQ(qwen2.sliding_window, (std::vector<int64_t>{0, 0, 0}));

  const ModelConfig qwen3 = parse(minimal("qwen3"));
  EXPECT_EQ(qwen3.head_dim, 128);
  EXPECT_TRUE(qwen3.qk_norm);
}

TEST(ModelConfig, NullMeansTheDerivedValue) {
  EXPECT_EQ(parse(with(minimal("mistral"), {{"num_key_value_heads", nullptr}})).num_key_value_heads,
            32);
  EXPECT_EQ(parse(with(minimal("qwen3"), {{"head_dim", nullptr}})).head_dim, 8);
  EXPECT_EQ(parse(with(minimal("mistral"), {{"sliding_window", nullptr}})).sliding_window,
            (std::vector<int64_t>{0, 0, 0}));
  EXPECT_TRUE(parse(with(minimal(), {{"eos_token_id", nullptr}})).eos_token_id.empty());
  EXPECT_EQ(parse(with(minimal(), {{"rope_scaling", nullptr}})).rope.rope_type, "default");
}

TEST(ModelConfig, ReadsBothSpellingsOfRope) {
  const Json changes[] = {
      {{"rope_theta", 5e5}, {"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}}}},
      {{"rope_theta", 5e5}, {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}},
      {{"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e5}}}},
      {{"rope_theta", 1.0},
       {"rope_scaling", Json::object()},
       {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e5}}}},
  };
  for (const Json& change : changes) {
    const RopeConfig rope = parse(with(minimal(), change)).rope;
    EXPECT_EQ(rope.rope_type, "linear") << change;
    EXPECT_EQ(rope.factor, 2.0) << change;
    EXPECT_EQ(rope.rope_theta, 5e5) << change;
  }
}

TEST(ModelConfig, YarnReadsItsKeys) {
  const Json yarn = {{"rope_type", "yarn"},
                     {"factor", nullptr},
                     {"beta_fast", 16},
                     {"beta_slow", 0},
                     {"truncate", false},
                     {"attention_factor", 0.5},
                     {"original_max_position_embeddings", 1024}};
  const RopeConfig rope =
      parse(with(minimal(), {{"max_position_embeddings", 8192}, {"rope_scaling", yarn}})).rope;
  EXPECT_EQ(rope.factor, 8.0);
  EXPECT_EQ(rope.original_max_position_embeddings, 1024);
  EXPECT_EQ(rope.beta_fast, 16.0);
  EXPECT_EQ(rope.beta_slow, 1.0);
  EXPECT_EQ(rope.attention_factor, 0.5);
  EXPECT_FALSE(rope.truncate);
}

TEST(ModelConfig, SlidingWindowPerLayer) {
  const Json window = {
      {"sliding_window", 16}, {"use_sliding_window", true}, {"max_window_layers", 2}};
  EXPECT_EQ(parse(with(minimal("qwen2"), window)).sliding_window, (std::vector<int64_t>{0, 0, 16}));
  Json typed = window;
  typed["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(parse(with(minimal("qwen3"), typed)).sliding_window, (std::vector<int64_t>{16, 0, 16}));
  EXPECT_EQ(parse(with(minimal("qwen2"), {{"sliding_window", 16}})).sliding_window,
            (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(parse(with(minimal("llama"), window)).sliding_window, (std::vector<int64_t>{0, 0, 0}));
}

TEST(ModelConfig, ReadsTokensAndDtype) {
  const ModelConfig config = parse(with(minimal(), {{"eos_token_id", {7, 8}},
                                                    {"bos_token_id", 3},
                                                    {"pad_token_id", -1},
                                                    {"torch_dtype", "bfloat16"}}));
  EXPECT_EQ(config.eos_token_id, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(config.bos_token_id, 3);
  EXPECT_EQ(config.pad_token_id, -1);
  EXPECT_EQ(config.dtype, DType::kBF16);
  EXPECT_EQ(parse(with(minimal(), {{"dtype", "float16"}})).dtype, DType::kF16);
}

struct BrokenConfig {
  const char* name;
  Json changes;  // to minimal("qwen2"); a key set to "remove" goes away
  const char* message;
};

class BrokenConfigs : public ::testing::TestWithParam<BrokenConfig> {};

TEST_P(BrokenConfigs, AreRefusedWithOneClearLine) {
  Json config = with(minimal("qwen2"), GetParam().changes);
  for (const auto& [key, value] : GetParam().changes.items()) {
    if (value == "remove") config.erase(key);
  }
  EXPECT_EQ(message_of([&] { parse(config); }), std::string("config.json: ") + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenConfigs,
    ::testing::Values(
        BrokenConfig{"NoModelType", {{"model_type", "remove"}}, "'model_type' is missing"},
        BrokenConfig{"OtherModelType",
                     {{"model_type", "bert"}},
                     "model_type is not supported: expected one of llama, mistral, qwen2, qwen3, "
                     "got bert"},
        BrokenConfig{"OtherHead",
                     {{"architectures", {"Qwen2ForSequenceClassification"}}},
                     "architecture is not supported: expected a causal language model "
                     "(...ForCausalLM), got Qwen2ForSequenceClassification"},
        BrokenConfig{"NoHiddenSize", {{"hidden_size", "remove"}}, "'hidden_size' is missing"},
        BrokenConfig{"StringSize",
                     {{"vocab_size", "many"}},
                     "bad value of 'vocab_size': expected an integer from 1 to 2147483647, got "
                     "\"many\""},
        BrokenConfig{
            "NegativeLayers",
            {{"num_hidden_layers", -1}},
            "bad value of 'num_hidden_layers': expected an integer from 1 to 4096, got -1"},
        BrokenConfig{"HugeWidth",
                     {{"hidden_size", 1e18}},
                     "bad value of 'hidden_size': expected an integer from 1 to 1048576, got "
                     "1e+18"},
        BrokenConfig{"KvHeads",
                     {{"num_key_value_heads", 5}},
                     "num_key_value_heads does not divide num_attention_heads: expected a divisor "
                     "of 32, got 5"},
        BrokenConfig{"HeadDim",
                     {{"hidden_size", 250}},
                     "hidden_size is not a multiple of num_attention_heads: expected a multiple of "
                     "32, or 'head_dim', got 250"},
        BrokenConfig{"OddHeadDim",
                     {{"head_dim", 7}},
                     "rope needs an even number of rotated dimensions: expected 2 to 7, got 7"},
        BrokenConfig{"Activation",
                     {{"hidden_act", "gelu"}},
                     "bad value of 'hidden_act': expected \"silu\", got \"gelu\""},
        BrokenConfig{"LayerTypes",
                     {{"layer_types", {"full_attention"}}},
                     "'layer_types' does not have one entry per layer: expected 3, got 1"},
        BrokenConfig{"WindowWithoutSize",
                     {{"layer_types", {"full_attention", "sliding_attention", "full_attention"}}},
                     "'layer_types' names sliding_attention, but no window is set: expected "
                     "use_sliding_window true and a sliding_window"},
        BrokenConfig{"RopeType",
                     {{"rope_scaling", {{"rope_type", "longrope"}}}},
                     "rope_type is not supported: expected default, linear, dynamic, llama3 or "
                     "yarn, got longrope"},
        BrokenConfig{"RopeFactor",
                     {{"rope_parameters", {{"rope_type", "linear"}}}},
                     "'rope_parameters.factor' is missing"},
        BrokenConfig{"RopeFactorZero",
                     {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}},
                     "rope parameters give no finite frequencies: expected a positive rope_theta, "
                     "factor and context length, got rope_type linear, rope_theta 10000, factor 0, "
                     "32768 positions"},
        BrokenConfig{"RopePerLayer",
                     {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}},
                     "'rope_parameters' differs by layer, which is not supported"},
        BrokenConfig{"RopeNoObject",
                     {{"rope_scaling", "linear"}},
                     "bad value of 'rope_scaling': expected an object, got \"linear\""},
        BrokenConfig{"Dtype",
                     {{"torch_dtype", "int8"}},
                     "bad value of 'torch_dtype': expected the name of a float dtype, got "
                     "\"int8\""},
        BrokenConfig{"Eos",
                     {{"eos_token_id", {1, "two"}}},
                     "bad value of 'eos_token_id': expected a token id or a list of them, got "
                     "[1,\"two\"]"}),
    [](const auto& test) { return test.param.name; });

TEST(ModelConfig, RefusesWhatIsNoObject) {
  EXPECT_EQ(message_of([] { parse(Json::array()); }),
            "config.json: not a model config: expected a JSON object, got array");
  const ScratchFolder folder;
  EXPECT_EQ(message_of([&] { ModelConfig::load(folder.path()); }),
            folder.path().string() + ": the model folder has no config.json");
}

}  // namespace
}  // namespace nibble::testing
