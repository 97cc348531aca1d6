// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "nibble/base/error.h"
#include "nibble/generate/text_generator.h"
#include "nibble/models/open_model.h"
#include "nibble/text/tokenizer.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

using Prompts = std::vector<std::vector<int32_t>>;

class GeneratorTest : public ::testing::Test {
 protected:
  GeneratorTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = "reference";
    opened_ = open_model(folder_ / "model", options);
    config_.max_new_tokens = 12;
  }

  GenerationResult generate(const Prompts& prompts, const GeneratorOptions& options = {}) {
    return Generator(*opened_.model, *opened_.backend).generate(prompts, config_, options);
  }
  std::vector<int32_t> ids_after(const std::vector<int32_t>& prompt) {
    return generate({prompt}).sequences[0].ids;
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  GenerationConfig config_;
};

TEST_F(GeneratorTest, GreedyFollowsTheHighestLogit) {
  const std::vector<int32_t> ids = ids_after({1, 40, 50});
  ASSERT_EQ(ids.size(), 12u);
  // The same by hand: one forward pass over everything so far, then the argmax.
  std::vector<int32_t> all = {1, 40, 50};
  const auto stream = opened_.backend->new_stream();
  Context ctx{*opened_.backend, *stream};
  for (const int32_t id : ids) {
    KvCache cache = opened_.model->new_cache();
    TokenBatch batch;
    batch.add(cache.add_sequence(), all);
    const Tensor logits = opened_.model->forward(ctx, batch, cache);
    const auto row = logits.data<float>();
    ASSERT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), id);
    all.push_back(id);
  }
}

TEST_F(GeneratorTest, WithoutCacheTheSameIds) {
  const std::vector<int32_t> cached = ids_after({1, 40, 50});
  config_.use_cache = false;
  EXPECT_EQ(ids_after({1, 40, 50}), cached);
}

TEST_F(GeneratorTest, ABatchGivesWhatSingleRunsGive) {
  const Prompts prompts = {{1, 40, 50}, {1}, {1, 60, 61, 62, 63, 64, 65}};
  for (const bool sample : {false, true}) {
    config_.do_sample = sample;
    config_.seed = 9;
    const GenerationResult batch = generate(prompts);
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(batch.sequences[i].ids, ids_after(prompts[i])) << i << " " << sample;
    }
  }
}

TEST_F(GeneratorTest, ChunkedPrefillGivesTheSameIds) {
  std::vector<int32_t> prompt(50);
  std::iota(prompt.begin(), prompt.end(), 10);
  const std::vector<int32_t> whole = ids_after(prompt);
  for (const int64_t chunk : {1, 7, 49, 50}) {
    GeneratorOptions options;
    options.prefill_chunk = chunk;
    EXPECT_EQ(generate({prompt, {1, 40}}, options).sequences[0].ids, whole) << chunk;
  }
}

TEST_F(GeneratorTest, EachSequenceEndsAtItsOwnEndToken) {
  const std::vector<int32_t> free = ids_after({1, 40, 50});
  const int32_t end = free[3];
  const auto first = std::find(free.begin(), free.end(), end) - free.begin();
  config_.eos_token_id = {end};
  const GenerationResult result = generate({{1, 40, 50}, {1, 70}});
  EXPECT_EQ(result.sequences[0].ids, std::vector<int32_t>(free.begin(), free.begin() + first + 1));
  EXPECT_EQ(result.sequences[0].finish, FinishReason::kEndOfSequence);
  EXPECT_EQ(result.sequences[1].ids, ids_after({1, 70}));
}

TEST_F(GeneratorTest, StopsWhenTheContextIsFull) {
  config_.max_new_tokens = 1000000;
  const GenerationResult result = generate({std::vector<int32_t>(120, 40)});
  EXPECT_EQ(result.sequences[0].ids.size(), 8u);  // of 128 positions
  EXPECT_EQ(result.sequences[0].finish, FinishReason::kContextFull);
  EXPECT_THROW(generate({std::vector<int32_t>(128, 40)}), Error);
}

TEST_F(GeneratorTest, RefusesEmptyInput) {
  EXPECT_THROW(generate({}), Error);
  EXPECT_THROW(generate({{1}, {}}), Error);
  EXPECT_THROW(generate({{1, 5000}}), Error);  // not in the vocabulary
}

TEST_F(GeneratorTest, TheCallbackSeesEachTokenAndCanStop) {
  std::vector<int32_t> seen;
  GeneratorOptions options;
  options.on_token = [&](int64_t, int32_t id) {
    seen.push_back(id);
    if (seen.size() == 4) throw Interrupted();
  };
  EXPECT_THROW(generate({{1, 40, 50}}, options), Interrupted);
  const std::vector<int32_t> ids = ids_after({1, 40, 50});
  EXPECT_EQ(seen, std::vector<int32_t>(ids.begin(), ids.begin() + 4));
}

TEST_F(GeneratorTest, GoesOnAfterAnInterruptedBatch) {
  Generator generator(*opened_.model, *opened_.backend, 1);
  GeneratorOptions options;
  options.on_token = [](int64_t, int32_t) { throw Interrupted(); };
  EXPECT_THROW(generator.generate({{1, 40, 50}, {1, 60}}, config_, options), Interrupted);
  EXPECT_THROW(generator.generate({{1, 40, 50}, {}}, config_), Error);
  const GenerationResult result = generator.generate({{1, 40, 51}}, config_);
  ASSERT_EQ(result.sequences.size(), 1u);
  EXPECT_EQ(result.sequences[0].ids, ids_after({1, 40, 51}));
}

TEST_F(GeneratorTest, ReadsTheBeginningThatAKeptSequenceHasNotAgain) {
  Generator generator(*opened_.model, *opened_.backend, 1);
  std::vector<int32_t> prompt(30);
  std::iota(prompt.begin(), prompt.end(), 10);
  const GenerationResult first = generator.generate({prompt}, config_);
  EXPECT_EQ(first.timings.reused_tokens, 0);
  const std::vector<int32_t>& answer = first.sequences[0].ids;
  prompt.insert(prompt.end(), answer.begin(), answer.end());
  prompt.push_back(50);
  const GenerationResult second = generator.generate({prompt}, config_);
  EXPECT_EQ(second.timings.prompt_tokens, 43);
  EXPECT_EQ(second.timings.reused_tokens, 41);
  EXPECT_EQ(second.sequences[0].ids, ids_after(prompt));
}

TEST_F(GeneratorTest, ProgressEndsBeforeTheFirstToken) {
  struct Recorder : Progress {
    void begin(std::string_view, int64_t total, Unit) override { left = total; }
    void advance(int64_t units, std::string_view) override { left -= units; }
    void skip(int64_t units) override { left -= units; }
    void end() override { ended = true; }
    int64_t left = -1;
    bool ended = false;
  };
  Generator generator(*opened_.model, *opened_.backend, 1);
  std::vector<int32_t> prompt(30);
  std::iota(prompt.begin(), prompt.end(), 10);
  for (int run = 0; run < 2; ++run) {  // the second with most of it from the cache
    Recorder progress;
    GeneratorOptions options;
    options.prefill_chunk = 7;
    options.progress = &progress;
    options.on_token = [&](int64_t, int32_t) { EXPECT_TRUE(progress.ended); };
    generator.generate({prompt}, config_, options);
    EXPECT_EQ(progress.left, 0);
  }
}

TEST_F(GeneratorTest, CountsTokensInItsTimings) {
  const GenerationResult result = generate({{1, 40, 50}, {1, 41}});
  EXPECT_EQ(result.timings.prompt_tokens, 5);
  EXPECT_EQ(result.timings.decode_tokens, 2 * 11);  // the first of each comes from the prompt
  EXPECT_GT(result.timings.decode_tokens_per_second(), 0);
}

class TextGeneratorTest : public GeneratorTest {
 protected:
  TextGeneratorTest() : tokenizer_(Tokenizer::load(folder_ / "model")) {}

  GeneratedText generate_text(const std::string& prompt, const TextGeneratorOptions& options = {}) {
    return TextGenerator(*opened_.model, tokenizer_, *opened_.backend)
        .generate({tokenizer_->encode(prompt)}, config_, options)
        .sequences[0];
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_F(TextGeneratorTest, StreamsWhatItReturns) {
  std::string streamed;
  TextGeneratorOptions options;
  options.on_text = [&](int64_t, std::string_view text) { streamed += text; };
  const GeneratedText result = generate_text("Hello", options);
  EXPECT_EQ(streamed, result.text);
  EXPECT_EQ(result.prompt_ids.front(), 1);
  EXPECT_EQ(tokenizer_->decode(result.ids, {.skip_special_tokens = true}), result.text);
}

TEST_F(TextGeneratorTest, AStopStringEndsTheTextAndStaysInIt) {
  const GeneratedText free = generate_text("Hello");
  ASSERT_GE(free.text.size(), 5u);
  const std::string stop = free.text.substr(2, 2);  // two tokens of this vocabulary
  const size_t at = free.text.find(stop);
  config_.stop_strings = {"never this", stop};
  const GeneratedText stopped = generate_text("Hello");
  EXPECT_EQ(stopped.text, free.text.substr(0, at + 2));
  EXPECT_EQ(stopped.finish, FinishReason::kStopString);
}

}  // namespace
}  // namespace nibble
