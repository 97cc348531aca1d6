// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/speed.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

class SpeedTest : public ::testing::Test {
 protected:
  SpeedTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = "reference";
    opened_ = open_model(folder_ / "model", options);
  }

  // A clock that moves by a second with each pass, so that times count passes.
  SpeedRunner runner_with_chunk(int64_t prefill_chunk) {
    SpeedOptions options;
    options.prefill_chunk = prefill_chunk;
    options.before_pass = [this] { ++passes_; };
    options.seconds_now = [this] { return static_cast<double>(passes_); };
    return SpeedRunner(*opened_.model, *opened_.backend, std::move(options));
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  int64_t passes_ = 0;
};

TEST_F(SpeedTest, ThePromptGivesTheFirstTokenAndEachOtherTakesAPass) {
  const SpeedTimes times = runner_with_chunk(512).run({.batch = 1, .prompt = 10, .generate = 5});
  EXPECT_EQ(times.prefill_seconds, 1);
  EXPECT_EQ(times.decode_seconds, 4);
  EXPECT_EQ(times.prefill_head_rows, 1);
}

TEST_F(SpeedTest, WithoutNewTokensThereIsNoDecoding) {
  for (const int64_t generate : {0, 1}) {
    const SpeedTimes times =
        runner_with_chunk(512).run({.batch = 1, .prompt = 10, .generate = generate});
    EXPECT_EQ(times.prefill_seconds, 1);
    EXPECT_EQ(times.decode_seconds, 0);
  }
}

TEST_F(SpeedTest, SequencesDecodeTogether) {
  // More of them than the tokens of a prefill pass: 24 prompt tokens in 6 passes.
  const SpeedTimes times = runner_with_chunk(4).run({.batch = 6, .prompt = 4, .generate = 3});
  EXPECT_EQ(times.prefill_seconds, 6);
  EXPECT_EQ(times.decode_seconds, 2);
}

TEST_F(SpeedTest, LongPromptsAreReadInParts) {
  // Passes of 4, 4, 2 + 2, 4 and 4 tokens: 6 slices, each with the logits of its last token.
  const SpeedTimes times = runner_with_chunk(4).run({.batch = 2, .prompt = 10, .generate = 0});
  EXPECT_EQ(times.prefill_seconds, 5);
  EXPECT_EQ(times.prefill_head_rows, 6);
}

TEST_F(SpeedTest, WithoutACacheAllIsComputedAgain) {
  // 5 and 6 tokens in passes of at most 2: three passes each.
  const SpeedTimes times =
      runner_with_chunk(2).run({.batch = 1, .prompt = 4, .generate = 3, .use_cache = false});
  EXPECT_EQ(times.prefill_seconds, 2);
  EXPECT_EQ(times.decode_seconds, 6);
}

TEST_F(SpeedTest, TouchingTheWeightsIsOnePass) {
  EXPECT_EQ(runner_with_chunk(512).touch_weights(), 1);
}

TEST_F(SpeedTest, ThrowingBeforeAPassEndsTheRun) {
  SpeedOptions options;
  options.before_pass = [this] {
    if (++passes_ == 3) throw Interrupted();
  };
  SpeedRunner runner(*opened_.model, *opened_.backend, std::move(options));
  const SpeedCase speed_case{.batch = 1, .prompt = 4, .generate = 9};
  EXPECT_THROW(runner.run(speed_case), Interrupted);
  EXPECT_EQ(passes_, 3);
  EXPECT_GT(runner.run(speed_case).decode_seconds, 0);  // by the system's clock
}

TEST_F(SpeedTest, LinearCostsTellTheHeadFromTheBody) {
  const testing::TinyModel tiny;
  const LinearCosts costs = linear_costs(*opened_.model);
  EXPECT_EQ(costs.head_weights, tiny.vocab * tiny.hidden);
  const int64_t width = tiny.heads * tiny.head_dim, kv_width = tiny.kv_heads * tiny.head_dim;
  const int64_t block =
      2 * width * tiny.hidden + 2 * kv_width * tiny.hidden + 3 * tiny.hidden * tiny.intermediate;
  EXPECT_EQ(costs.body_weights, tiny.layers * block);
  EXPECT_EQ(costs.bytes, 4 * (costs.head_weights + costs.body_weights));
}

TEST_F(SpeedTest, PackedWeightsAreFewerBytesAndAsManyElements) {
  OpenOptions options;
  options.quantization = BitsAndBytesConfig();
  options.quantization->load_in_8bit = true;
  const OpenedModel packed = open_model(folder_ / "model", options);
  const LinearCosts plain = linear_costs(*opened_.model), costs = linear_costs(*packed.model);
  EXPECT_EQ(costs.body_weights, plain.body_weights);
  EXPECT_LT(costs.bytes - 4 * costs.head_weights, costs.body_weights * 11 / 10);
}

TEST_F(SpeedTest, CasesThatMakeNoSenseAreErrors) {
  const auto message = [&](const SpeedCase& speed_case) {
    return testing::message_of([&] { runner_with_chunk(512).run(speed_case); });
  };
  EXPECT_NE(message({.batch = 0}).find("number of sequences"), std::string::npos);
  EXPECT_NE(message({.prompt = 0}).find("prompt tokens"), std::string::npos);
  EXPECT_NE(message({.prompt = 1, .generate = -1}).find("new tokens"), std::string::npos);
  EXPECT_NE(message({.prompt = 100, .generate = 29}).find("at most 128 tokens"), std::string::npos);
  EXPECT_NE(message({.prompt = INT64_MAX, .generate = INT64_MAX}).find("at most 128 tokens"),
            std::string::npos);
  EXPECT_EQ(passes_, 0);
  EXPECT_NE(testing::message_of([&] { runner_with_chunk(0); }).find("tokens in a pass"),
            std::string::npos);
}

}  // namespace
}  // namespace nibble
