// SPDX-License-Identifier: Apache-2.0
//
// A real trained model (stories260K) against text that llama2.c's own run produces, and against a
// float64 forward pass. Needs data that is not part of the project.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/base/atomic_file.h"
#include "nibble/generate/text_generator.h"
#include "nibble/io/json_file.h"
#include "nibble/models/open_model.h"
#include "nibble/text/tokenizer.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class Stories260K : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    model_ = testing::shared_data("stories260k_hf");
    golden_ = testing::shared_data("stories260k");
    if (model_.empty() || golden_.empty()) GTEST_SKIP() << "stories260K is not there";
    OpenOptions options;
    options.backend = GetParam();
    opened_ = open_model(model_, options);
  }

  GeneratedText greedy(const std::string& prompt, int64_t new_tokens) {
    const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(model_);
    GenerationConfig config = GenerationConfig::load(model_);
    config.max_new_tokens = new_tokens;
    return TextGenerator(*opened_.model, tokenizer, *opened_.backend)
        .generate({tokenizer->encode(prompt)}, config)
        .sequences[0];
  }

  std::filesystem::path model_, golden_;
  OpenedModel opened_;
};

TEST_P(Stories260K, TellsTheKnownStoryFromNothing) {
  const std::string story = greedy("", 200).text;
  std::string expected = read_text_file(golden_ / "expected_greedy_200.txt");
  if (expected.ends_with('\n')) expected.pop_back();
  EXPECT_EQ(story, expected);
}

TEST_P(Stories260K, ContinuesAPromptWithTheGoldenIds) {
  const auto golden = read_json_file(golden_ / "golden_numpy_float64.json");
  const auto all = golden.at("greedy_ids_from_BOS").get<std::vector<int32_t>>();
  const auto prompt = golden.at("prompt_ids").get<std::vector<int32_t>>();
  const GeneratedText result =
      greedy("Once upon a time", static_cast<int64_t>(all.size() - prompt.size()));
  EXPECT_EQ(result.prompt_ids, prompt);
  // The story from BOS begins with this very prompt.
  EXPECT_EQ(result.ids,
            std::vector<int32_t>(all.begin() + static_cast<ptrdiff_t>(prompt.size()), all.end()));
}

INSTANTIATE_TEST_SUITE_P(Backends, Stories260K, ::testing::Values("reference", "cpu"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace nibble
