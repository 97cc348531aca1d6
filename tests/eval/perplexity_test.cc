// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/io/text_list.h"
#include "nibble/models/open_model.h"
#include "nibble/text/tokenizer.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class PerplexityTest : public ::testing::Test {
 protected:
  PerplexityTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = "reference";
    opened_ = open_model(folder_ / "model", options);
    Random random(5);
    for (int i = 0; i < 100; ++i) ids_.push_back(static_cast<int32_t>(random.next() % 96));
  }

  // -log p(ids[target] | ids[begin..target)), from all logits at once, in double.
  double nll(int64_t begin, int64_t target) {
    const auto stream = opened_.backend->new_stream();
    Context ctx{*opened_.backend, *stream};
    KvCache cache = opened_.model->new_cache();
    TokenBatch batch;
    batch.add(cache.add_sequence(), {ids_.begin() + begin, ids_.begin() + target});
    const Tensor logits = opened_.model->forward(ctx, batch, cache);
    double sum = 0;
    for (const float x : logits.data<float>()) sum += std::exp(static_cast<double>(x));
    return std::log(sum) -
           logits.data<float>()[static_cast<size_t>(ids_[static_cast<size_t>(target)])];
  }

  PerplexityResult run(const PerplexityOptions& options) {
    return perplexity_of_sequence(*opened_.model, *opened_.backend, ids_, options);
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  std::vector<int32_t> ids_;
};

// Single-precision logits summed over a few dozen tokens.
constexpr double kTolerance = 1e-4;

TEST_F(PerplexityTest, WindowsWithoutOverlapLoseTheirFirstToken) {
  PerplexityOptions options;
  options.context = 40;
  double expected = 0;
  for (int64_t i = 0; i < 100; ++i) {
    if (i % 40 != 0) expected += nll(i / 40 * 40, i);
  }
  const PerplexityResult result = run(options);
  EXPECT_EQ(result.tokens, 97);
  EXPECT_EQ(result.passes, 3);
  EXPECT_NEAR(result.nll, expected / 97, kTolerance);
  EXPECT_NEAR(result.perplexity, std::exp(result.nll), 1e-9);
  EXPECT_GT(result.standard_error, 0);
}

TEST_F(PerplexityTest, AStrideScoresEachTokenOnceInTheFirstWindowThatHasIt) {
  PerplexityOptions options;
  options.context = 40;
  options.stride = 25;
  // Windows [0, 40), [25, 65), [50, 90), [75, 100): the last ends the text.
  double expected = 0;
  for (int64_t i = 1; i < 100; ++i) expected += nll(i < 40 ? 0 : i < 65 ? 25 : i < 90 ? 50 : 75, i);
  const PerplexityResult result = run(options);
  EXPECT_EQ(result.tokens, 99);
  EXPECT_EQ(result.passes, 4);
  EXPECT_NEAR(result.nll, expected / 99, kTolerance);
}

TEST_F(PerplexityTest, TheSecondHalfOfEachWholeWindowIsWhatLlamaCppCounts) {
  PerplexityOptions options;
  options.context = 30;
  options.second_half = true;
  double expected = 0;
  for (int64_t begin = 0; begin + 30 <= 100; begin += 30) {
    for (int64_t i = begin + 16; i < begin + 30; ++i) expected += nll(begin, i);
  }
  const PerplexityResult result = run(options);
  EXPECT_EQ(result.tokens, 3 * 14);
  EXPECT_NEAR(result.nll, expected / 42, kTolerance);
  options.context = 101;
  EXPECT_THROW(run(options), Error);
  options.context = 30;
  options.stride = 10;
  EXPECT_THROW(run(options), Error);
}

TEST_F(PerplexityTest, WindowsOfWhichTheSecondHalfCountsBeginWithBos) {
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(folder_ / "model");
  write_file_atomically(folder_ / "a.txt", "abcdefghijk");  // 12 tokens with BOS
  ids_ = tokenizer->encode("abcdefghijk");
  double expected = 0;
  for (const int64_t begin : {0, 6}) {
    ids_[static_cast<size_t>(begin)] = 1;
    for (int64_t i = begin + 4; i < begin + 6; ++i) expected += nll(begin, i);
  }
  PerplexityOptions options;
  options.context = 6;
  options.second_half = true;
  const auto of_file = [&](const char* name) {
    return perplexity_of_file(*opened_.model, *tokenizer, *opened_.backend, folder_ / name,
                              options);
  };
  EXPECT_EQ(of_file("a.txt").tokens, 4);
  EXPECT_NEAR(of_file("a.txt").nll, expected / 4, kTolerance);
  write_file_atomically(folder_ / "a.json", "[\"abcdefghijk\"]");
  EXPECT_THROW(of_file("a.json"), Error);
}

TEST_F(PerplexityTest, TextsAreScoredOneByOneAndCut) {
  const std::vector<std::vector<int32_t>> texts = {
      {ids_.begin(), ids_.begin() + 30}, {ids_.begin(), ids_.begin() + 50}, {1}};
  PerplexityOptions options;
  options.context = 40;
  double expected = 0;
  for (const int64_t length : {30, 40}) {
    for (int64_t i = 1; i < length; ++i) expected += nll(0, i);
  }
  const PerplexityResult result =
      perplexity_of_texts(*opened_.model, *opened_.backend, texts, options);
  EXPECT_EQ(result.tokens, 29 + 39);
  EXPECT_NEAR(result.nll, expected / 68, kTolerance);
  options.limit = 1;
  EXPECT_EQ(perplexity_of_texts(*opened_.model, *opened_.backend, texts, options).tokens, 29);
}

TEST_F(PerplexityTest, RefusesWhatItCannotScore) {
  PerplexityOptions options;
  options.context = 129;  // beyond the model
  EXPECT_THROW(run(options), Error);
  options.context = 40;
  options.stride = 41;
  EXPECT_THROW(run(options), Error);
  ids_ = {1};
  EXPECT_THROW(run({}), Error);
  ids_ = {1, 5000};
  EXPECT_THROW(run({}), Error);
}

TEST_F(PerplexityTest, ReadsListsAndPlainText) {
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(folder_ / "model");
  const auto tokens = [&](const std::string& name, const std::string& content) {
    write_file_atomically(folder_ / name, content);
    return perplexity_of_file(*opened_.model, *tokenizer, *opened_.backend, folder_ / name).tokens;
  };
  // BOS plus one token per character; all but BOS are scored.
  EXPECT_EQ(tokens("a.json", R"(["abc", {"text": "de"}])"), 5);
  EXPECT_EQ(tokens("a.jsonl", "{\"text\": \"abc\"}\n\n\"de\"\n"), 5);
  EXPECT_EQ(tokens("a.txt", "abcde"), 5);
}

TEST(TextFile, NamesTheEntryThatIsNoText) {
  testing::ScratchFolder folder;
  for (const auto& [name, content] :
       std::map<std::string, std::string>{{"a.json", R"({"text": "abc"})"},
                                          {"b.json", R"(["abc", 5])"},
                                          {"c.jsonl", "\"abc\"\n{\"body\": 1}\n"},
                                          {"d.jsonl", "\"abc\"\nnonsense\n"}}) {
    write_file_atomically(folder / name, content);
    try {
      read_text_list(folder / name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(read_text_list(folder / "c.jsonl", 1), std::vector<std::string>{"abc"});
}

struct Bar {
  const char* name;
  double perplexity, tolerance;
  std::optional<BitsAndBytesConfig> quantization;
  std::optional<ActivationMode> activation;
  std::optional<DType> kv_cache_dtype = std::nullopt;
};

BitsAndBytesConfig nf4() {
  BitsAndBytesConfig config;
  config.load_in_4bit = true;
  config.bnb_4bit_quant_type = "nf4";
  return config;
}

BitsAndBytesConfig int8() {
  BitsAndBytesConfig config;
  config.load_in_8bit = true;
  return config;
}

// A real model on real text, against an independent float64 implementation. Quantized values differ
// from it by float32 rounding in the weights, hence the wider bounds; LLM.int8() also rounds
// activations, for which there is no reference but staying within 1 % of float.
class StoriesPerplexity : public ::testing::TestWithParam<Bar> {};

TEST_P(StoriesPerplexity, EqualsTheReference) {
  const std::filesystem::path model = testing::shared_data("stories260k_hf");
  const std::filesystem::path text =
      testing::shared_data("tinystories_text/tinystories_first_500.json");
  if (model.empty() || text.empty()) GTEST_SKIP() << "stories260K is not there";
  OpenOptions options;
  options.quantization = GetParam().quantization;
  options.activation = GetParam().activation;
  options.kv_cache_dtype = GetParam().kv_cache_dtype;
  const OpenedModel opened = open_model(model, options);
  PerplexityOptions perplexity;
  perplexity.context = 512;
  perplexity.limit = 100;
  const PerplexityResult result =
      perplexity_of_file(*opened.model, *Tokenizer::load(model), *opened.backend, text, perplexity);
  EXPECT_EQ(result.tokens, 38168);
  EXPECT_NEAR(result.perplexity, GetParam().perplexity, GetParam().tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Schemes, StoriesPerplexity,
    ::testing::Values(Bar{"float", 5.279827, 1e-4, std::nullopt, std::nullopt},
                      Bar{"nf4", 5.884103, 1e-3, nf4(), std::nullopt},
                      Bar{"int8_rows", 5.276274, 5e-3, int8(), ActivationMode::kFloat},
                      Bar{"llm_int8", 5.279827, 0.0528, int8(), ActivationMode::kInt8},
                      Bar{"kv_float16", 5.279827, 1e-4, std::nullopt, std::nullopt, DType::kF16},
                      // No reference but this code: the bar says what a coarse cache may cost.
                      Bar{"kv_int8", 5.288942, 2e-3, std::nullopt, std::nullopt, DType::kI8}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace nibble
