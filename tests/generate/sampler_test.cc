// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "nibble/base/error.h"

namespace nibble {
namespace {

GenerationConfig sampling() {
  GenerationConfig config;
  config.do_sample = true;
  return config;
}

// The ids that can come at all, by drawing often.
std::set<int32_t> drawn(const GenerationConfig& config, const std::vector<float>& logits,
                        int draws = 2000) {
  Sampler sampler(config);
  std::set<int32_t> ids;
  for (int i = 0; i < draws; ++i) ids.insert(sampler.next(logits, {}));
  return ids;
}

// Logits whose softmax is `probabilities`.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

TEST(Sampler, GreedyTakesTheLowestIdAmongEquals) {
  Sampler sampler{GenerationConfig()};
  EXPECT_EQ(sampler.next(std::vector<float>{0, 3, 1, 3}, {}), 1);
}

TEST(Sampler, TemperatureZeroIsGreedy) {
  GenerationConfig config = sampling();
  config.temperature = 0;
  EXPECT_EQ(drawn(config, {0, 1, 0.999f}, 50), std::set<int32_t>{1});
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeScoresOnce) {
  GenerationConfig config;
  config.repetition_penalty = 2.0;
  Sampler sampler(config);
  // 4 / 2 = 2 stays ahead of 1.5; applied twice it would be 1 and lose.
  EXPECT_EQ(sampler.next(std::vector<float>{4, 1.5f, 0}, std::vector<int32_t>{0, 0}), 0);
  EXPECT_EQ(sampler.next(std::vector<float>{4, 2.5f, 0}, std::vector<int32_t>{0, 0}), 1);
  // -1 * 2 = -2 falls behind -1.5.
  EXPECT_EQ(sampler.next(std::vector<float>{-1, -1.5f}, std::vector<int32_t>{0}), 1);
}

TEST(Sampler, NoNgramComesTwice) {
  GenerationConfig config;
  config.no_repeat_ngram_size = 2;
  Sampler sampler(config);
  const std::vector<float> logits = {3, 2, 1};
  EXPECT_EQ(sampler.next(logits, std::vector<int32_t>{1, 0, 2, 1}), 1);  // "1 0" was there
  EXPECT_EQ(sampler.next(logits, std::vector<int32_t>{1, 0, 2}), 0);     // "2 0" was not
  EXPECT_EQ(sampler.next(logits, std::vector<int32_t>{1}), 0);           // no pair yet
  config.no_repeat_ngram_size = 1;
  EXPECT_EQ(Sampler(config).next(logits, std::vector<int32_t>{0, 1}), 2);
}

TEST(Sampler, TopKKeepsTheTiesOfTheLast) {
  GenerationConfig config = sampling();
  config.top_k = 2;
  EXPECT_EQ(drawn(config, {1, 2, 1, 0.5f}), (std::set<int32_t>{0, 1, 2}));
  config.top_k = 1;
  EXPECT_EQ(drawn(config, {1, 2, 1, 0.5f}), std::set<int32_t>{1});
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  GenerationConfig config = sampling();
  config.top_k = 0;
  config.top_p = 0.6;
  const std::vector<float> logits = logits_of({0.15, 0.5, 0.05, 0.3});
  EXPECT_EQ(drawn(config, logits), (std::set<int32_t>{1, 3}));
  config.top_p = 0.4;
  EXPECT_EQ(drawn(config, logits), std::set<int32_t>{1});
  config.top_p = 0.0;  // one always stays
  EXPECT_EQ(drawn(config, logits), std::set<int32_t>{1});
}

TEST(Sampler, MinPIsRelativeToTheLikeliest) {
  GenerationConfig config = sampling();
  config.top_k = 0;
  config.min_p = 0.5;
  EXPECT_EQ(drawn(config, logits_of({0.15, 0.5, 0.05, 0.3})), (std::set<int32_t>{1, 3}));
}

TEST(Sampler, TemperatureComesBeforeTopP) {
  GenerationConfig config = sampling();
  config.top_k = 0;
  config.top_p = 0.6;
  config.temperature = 0.25;  // 0.5^4 / (0.5^4 + 0.3^4 + ..) is above 0.6: one token is enough
  EXPECT_EQ(drawn(config, logits_of({0.15, 0.5, 0.05, 0.3})), std::set<int32_t>{1});
}

TEST(Sampler, DrawsByProbability) {
  GenerationConfig config = sampling();
  config.seed = 7;
  const std::vector<double> probabilities = {0.1, 0.2, 0.3, 0.4};
  const std::vector<float> logits = logits_of(probabilities);
  Sampler sampler(config);
  constexpr int kDraws = 40000;
  std::vector<int> counts(4, 0);
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.next(logits, {}))];
  for (size_t i = 0; i < 4; ++i) {
    const double p = probabilities[i];
    const double deviation = std::sqrt(p * (1 - p) / kDraws);
    EXPECT_NEAR(static_cast<double>(counts[i]) / kDraws, p, 4 * deviation);
  }
}

TEST(Sampler, SameSeedSameDraws) {
  GenerationConfig config = sampling();
  config.seed = 3;
  const std::vector<float> logits(100, 0.0f);
  std::vector<int32_t> first, second, other;
  Sampler a(config), b(config);
  config.seed = 4;
  Sampler c(config);
  for (int i = 0; i < 20; ++i) {
    first.push_back(a.next(logits, {}));
    second.push_back(b.next(logits, {}));
    other.push_back(c.next(logits, {}));
  }
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST(Sampler, RefusesLogitsThatAreNoDistribution) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float minus = -std::numeric_limits<float>::infinity();
  Sampler greedy{GenerationConfig()}, random(sampling());
  EXPECT_THROW(greedy.next(std::vector<float>{nan, nan}, {}), Error);
  EXPECT_THROW(random.next(std::vector<float>{0, nan}, {}), Error);
  EXPECT_THROW(random.next(std::vector<float>{minus, minus}, {}), Error);
}

}  // namespace
}  // namespace nibble
