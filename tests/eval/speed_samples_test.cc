// SPDX-License-Identifier: Apache-2.0
//
// Sampling and figures on a machine that is made up: probes and times come from lists.
#include "nibble/eval/speed_samples.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "nibble/base/error.h"
#include "nibble/eval/speed_figures.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoThere) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 2}), 2);
  EXPECT_EQ(median({9, 1, 2, 4}), 3);
  EXPECT_THROW(median({}), Error);
}

// Peaks that the probes find, one after the other; the last one from then on.
class Machine {
 public:
  explicit Machine(std::deque<double> peaks) : peaks_(std::move(peaks)) {}

  DeviceLimits probe() {
    ++probes;
    const double peak = peaks_.front();
    if (peaks_.size() > 1) peaks_.pop_front();
    return {.read_bytes_per_second = 10 * peak, .multiply_adds_per_second = peak};
  }

  int probes = 0;

 private:
  std::deque<double> peaks_;
};

class SampleInTurn : public ::testing::Test {
 protected:
  // As many subjects as `names` has letters; order_ tells who was called when.
  SpeedSamples sample(const std::string& names, Machine& machine, int64_t repeats,
                      int64_t patience) {
    std::vector<std::function<SpeedTimes()>> subjects;
    for (const char name : names) {
      subjects.push_back([this, name] {
        order_ += name;
        return SpeedTimes{.prefill_seconds = static_cast<double>(order_.size())};
      });
    }
    SpeedSampling sampling;
    sampling.repeats = repeats;
    sampling.patience = patience;
    sampling.probe = [&] { return machine.probe(); };
    return sample_in_turn(subjects, sampling);
  }

  static std::string slow_marks(const std::vector<SpeedSample>& samples) {
    std::string marks;
    for (const SpeedSample& one : samples) marks += one.slow ? 's' : '.';
    return marks;
  }

  std::string order_;
};

TEST_F(SampleInTurn, EverySubjectOnceARoundWithAProbeOnEitherSide) {
  Machine machine({100, 101, 102, 103, 104, 105, 106});
  const SpeedSamples samples = sample("abc", machine, 2, 5);
  EXPECT_EQ(order_, "abcabc");
  EXPECT_EQ(machine.probes, 7);
  ASSERT_EQ(samples.of.size(), 3u);
  const SpeedSample& second_of_b = samples.of[1].at(1);
  EXPECT_EQ(second_of_b.times.prefill_seconds, 5);
  EXPECT_EQ(second_of_b.before.multiply_adds_per_second, 104);
  EXPECT_EQ(second_of_b.after.multiply_adds_per_second, 105);
  EXPECT_EQ(samples.best.multiply_adds_per_second, 106);
  EXPECT_EQ(samples.best.read_bytes_per_second, 1060);
}

TEST_F(SampleInTurn, ASlowProbeOnEitherSideMakesASampleSlow) {
  // 79 is below 80 % of 100 and 80 is not.
  Machine machine({100, 100, 79, 100, 80, 100});
  const SpeedSamples samples = sample("a", machine, 5, 0);
  EXPECT_EQ(slow_marks(samples.of[0]), ".ss..");
}

TEST_F(SampleInTurn, WhoLacksSamplesIsTriedAgainWhilePatienceLasts) {
  Machine machine({100, 100, 50, 100, 100, 100, 50, 100, 100});
  const SpeedSamples samples = sample("ab", machine, 2, 9);
  EXPECT_EQ(order_, std::string("abab") + "ab" + "b" + "b");
  EXPECT_EQ(slow_marks(samples.of[0]), ".s.");
  EXPECT_EQ(slow_marks(samples.of[1]), "s.ss.");
}

TEST_F(SampleInTurn, PatienceEnds) {
  Machine machine({100, 50});
  const SpeedSamples samples = sample("a", machine, 2, 3);
  EXPECT_EQ(order_, "aaaaa");
  EXPECT_EQ(slow_marks(samples.of[0]), "sssss");
}

TEST_F(SampleInTurn, WhatSeemedFastIsSlowOnceTheMachineIsSeenFaster) {
  Machine machine({50, 50, 50, 100, 100, 100, 100});
  const SpeedSamples samples = sample("a", machine, 3, 5);
  EXPECT_EQ(slow_marks(samples.of[0]), "sss...");
}

TEST_F(SampleInTurn, NumbersOutOfRangeAreErrors) {
  Machine machine({100});
  EXPECT_NE(testing::message_of([&] { sample("a", machine, 0, 0); }).find("rounds"),
            std::string::npos);
  EXPECT_NE(testing::message_of([&] { sample("a", machine, 1, -1); }).find("extra rounds"),
            std::string::npos);
  EXPECT_EQ(order_, "");
}

// A sample of a machine that multiplies at 100 per second and reads 1000 bytes per second.
SpeedSample sample_of(double prefill_seconds, double decode_seconds, bool slow = false) {
  SpeedSample sample;
  sample.times = {prefill_seconds, decode_seconds, /*prefill_head_rows=*/2};
  sample.before = sample.after = {.read_bytes_per_second = 1000, .multiply_adds_per_second = 100};
  sample.slow = slow;
  return sample;
}

TEST(SamplesThatCount, SlowOnesDoNotWhenHalfIsLeft) {
  const std::vector<SpeedSample> samples = {sample_of(1, 0, true), sample_of(2, 0),
                                            sample_of(3, 0, true), sample_of(4, 0)};
  EXPECT_EQ(samples_that_count(samples, 4).size(), 2u);
  EXPECT_EQ(samples_that_count(samples, 4)[1].times.prefill_seconds, 4);
  EXPECT_EQ(samples_that_count(samples, 5).size(), 4u);
  EXPECT_EQ(samples_that_count(std::vector(1, sample_of(1, 0, true)), 1).size(), 1u);
}

constexpr LinearCosts kCosts{.bytes = 50, .body_weights = 10, .head_weights = 20};

TEST(SpeedFigures, SpeedsAndSharesOfTheLimits) {
  const SpeedCase speed_case{.batch = 2, .prompt = 8, .generate = 5};
  const std::vector<SpeedSample> samples = {sample_of(4, 1)};
  const SpeedFigures figures = speed_figures(speed_case, kCosts, samples, 1);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second, 16 / 4.0);
  // 16 tokens through the body and 2 through the head, in 4 seconds, of 100 per second.
  EXPECT_DOUBLE_EQ(figures.prefill_of_peak, (16 * 10 + 2 * 20) / 4.0 / 100);
  EXPECT_DOUBLE_EQ(*figures.decode_tokens_per_second, 2 * 4 / 1.0);
  EXPECT_DOUBLE_EQ(*figures.seconds_per_pass, 0.25);
  EXPECT_DOUBLE_EQ(*figures.weight_bytes_per_token, 25);
  EXPECT_DOUBLE_EQ(*figures.decode_of_bandwidth, 4 * 50 / 1.0 / 1000);
  EXPECT_DOUBLE_EQ(*figures.tokens_per_second, 2 * 5 / 5.0);
}

TEST(SpeedFigures, MediansOfTheSamplesThatCount) {
  const SpeedCase speed_case{.batch = 1, .prompt = 60, .generate = 0};
  const std::vector<SpeedSample> samples = {sample_of(60, 0, true), sample_of(2, 0),
                                            sample_of(3, 0), sample_of(4, 0)};
  const SpeedFigures figures = speed_figures(speed_case, kCosts, samples, 3);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second, 20);
  EXPECT_EQ(figures.samples, 4);
  EXPECT_EQ(figures.slow_samples, 1);
  EXPECT_EQ(figures.counted_samples, 3);
  EXPECT_FALSE(figures.slow);
  EXPECT_FALSE(figures.decode_tokens_per_second || figures.decode_of_bandwidth ||
               figures.weight_bytes_per_token || figures.tokens_per_second);
}

TEST(SpeedFigures, SayWhenSlowSamplesHadToCount) {
  const SpeedCase speed_case{.batch = 1, .prompt = 60, .generate = 0};
  const std::vector<SpeedSample> samples = {sample_of(2, 0, true), sample_of(3, 0, true),
                                            sample_of(4, 0)};
  const SpeedFigures figures = speed_figures(speed_case, kCosts, samples, 3);
  EXPECT_TRUE(figures.slow);
  EXPECT_EQ(figures.counted_samples, 3);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second, 20);
}

TEST(SpeedFigures, WithoutACacheNoShareOfTheBandwidth) {
  const SpeedCase speed_case{.batch = 1, .prompt = 4, .generate = 3, .use_cache = false};
  const std::vector<SpeedSample> samples = {sample_of(1, 2)};
  const SpeedFigures figures = speed_figures(speed_case, kCosts, samples, 1);
  EXPECT_DOUBLE_EQ(*figures.decode_tokens_per_second, 1);
  EXPECT_FALSE(figures.decode_of_bandwidth || figures.weight_bytes_per_token);
}

}  // namespace
}  // namespace nibble
