// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/generation_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

TEST(GenerationConfig, DefaultsAreTransformers) {
  const GenerationConfig config;
  EXPECT_FALSE(config.do_sample);
  EXPECT_EQ(config.temperature, 1.0);
  EXPECT_EQ(config.top_k, 50);
  EXPECT_EQ(config.top_p, 1.0);
  EXPECT_EQ(config.new_tokens_after(7), 20);
}

TEST(GenerationConfig, MaxNewTokensWinsOverMaxLength) {
  GenerationConfig config;
  config.max_length = 30;
  EXPECT_EQ(config.new_tokens_after(10), 20);
  config.max_new_tokens = 5;
  EXPECT_EQ(config.new_tokens_after(10), 5);
}

TEST(GenerationConfig, RefusesAPromptThatFillsMaxLength) {
  GenerationConfig config;
  config.max_length = 10;
  EXPECT_EQ(config.new_tokens_after(9), 1);
  EXPECT_THROW(config.new_tokens_after(10), Error);
}

TEST(GenerationConfig, TakesOneEndIdOrAList) {
  GenerationConfig config;
  config.merge_json({{"eos_token_id", 2}}, "f");
  EXPECT_EQ(config.eos_token_id, std::vector<int32_t>{2});
  config.merge_json({{"eos_token_id", {5, 6}}}, "f");
  EXPECT_EQ(config.eos_token_id, (std::vector<int32_t>{5, 6}));
  config.merge_json({{"eos_token_id", nullptr}}, "f");  // null is absent
  EXPECT_EQ(config.eos_token_id, (std::vector<int32_t>{5, 6}));
}

TEST(GenerationConfig, NamesFileAndKeyOfABadValue) {
  for (const Json& bad :
       {Json{{"temperature", "hot"}}, Json{{"temperature", -1}}, Json{{"top_p", 1.5}},
        Json{{"top_k", 2.5}}, Json{{"do_sample", 1}}, Json{{"eos_token_id", 1e20}},
        Json{{"eos_token_id", {1, "x"}}}, Json{{"repetition_penalty", 0}},
        Json{{"max_new_tokens", 0}}, Json{{"stop_strings", {"a", ""}}},
        Json{{"no_repeat_ngram_size", -1}}, Json{{"eos_token_id", int64_t{1} << 40}}}) {
    try {
      GenerationConfig().merge_json(bad, "some.json");
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("some.json"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(GenerationConfig().merge_json(Json::array(), "f"), Error);
}

TEST(GenerationConfig, SaysWhatItCannotDo) {
  GenerationConfig config;
  config.merge_json({{"num_beams", 4}, {"typical_p", 1.0}, {"bad_words_ids", {{1}}}}, "f");
  EXPECT_EQ(config.ignored, (std::vector<std::string>{"num_beams", "bad_words_ids"}));
}

TEST(GenerationConfig, ReadsItsOwnFileAndOnlyIdsOfTheModels) {
  testing::ScratchFolder folder;
  write_file_atomically(folder / "config.json",
                        R"({"eos_token_id": 7, "bos_token_id": 1, "temperature": 0.5})");
  EXPECT_EQ(GenerationConfig::load(folder.path()).temperature, 0.5);  // an old model's settings

  write_file_atomically(folder / "generation_config.json", R"({"do_sample": true, "top_k": 3})");
  const GenerationConfig config = GenerationConfig::load(folder.path());
  EXPECT_TRUE(config.do_sample);
  EXPECT_EQ(config.top_k, 3);
  EXPECT_EQ(config.temperature, 1.0);
  EXPECT_EQ(config.eos_token_id, std::vector<int32_t>{7});
  EXPECT_EQ(config.bos_token_id, 1);
}

}  // namespace
}  // namespace nibble
