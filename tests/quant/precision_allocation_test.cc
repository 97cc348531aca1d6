// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/precision_allocation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "nibble/base/random.h"

namespace nibble {
namespace {

using Modules = std::vector<std::vector<PrecisionChoice>>;

PrecisionChoice sum_of(const Modules& modules, const std::vector<size_t>& chosen) {
  PrecisionChoice sum;
  for (size_t m = 0; m < modules.size(); ++m) {
    sum.bytes += modules[m].at(chosen.at(m)).bytes;
    sum.error += modules[m].at(chosen.at(m)).error;
  }
  return sum;
}

// The least error of all combinations that fit; infinite when none does.
double least_error(const Modules& modules, int64_t budget) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<size_t> chosen(modules.size());
  for (;;) {
    const PrecisionChoice sum = sum_of(modules, chosen);
    if (sum.bytes <= budget) least = std::min(least, sum.error);
    size_t m = 0;
    while (m < modules.size() && ++chosen[m] == modules[m].size()) chosen[m++] = 0;
    if (m == modules.size()) return least;
  }
}

// Sizes of `step` bytes; a larger one mostly has the smaller error, as among numbers of bits.
Modules random_modules(uint64_t seed, int64_t step) {
  Random random(seed);
  Modules modules(5);
  for (auto& choices : modules) {
    for (int64_t bits : {2, 3, 4, 8}) {
      const auto rows = static_cast<int64_t>(1 + random.uniform() * 6);
      choices.push_back({step * rows * bits, (1 + random.uniform()) / static_cast<double>(bits)});
    }
  }
  return modules;
}

TEST(PrecisionAllocation, TakesTheBitsWhereTheyTakeAwayMostError) {
  const Modules modules = {{{2, 10}, {4, 1}}, {{2, 10}, {4, 8}}, {{2, 10}, {4, 5}}};
  EXPECT_EQ(allocate_precision(modules, 8), (std::vector<size_t>{1, 0, 0}));
  EXPECT_EQ(allocate_precision(modules, 10), (std::vector<size_t>{1, 0, 1}));
}

TEST(PrecisionAllocation, IsExactWhereTheGreedyOrderIsNot) {
  // 0.9 an error each byte of the first, 0.8 of the others; but these fill the budget.
  const Modules modules = {{{0, 5.4}, {6, 0}}, {{0, 4}, {5, 0}}, {{0, 4}, {5, 0}}};
  EXPECT_EQ(allocate_precision(modules, 10), (std::vector<size_t>{0, 1, 1}));
}

TEST(PrecisionAllocation, FindsWhatAllCombinationsHaveToOffer) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Modules modules = random_modules(seed, 12);
    for (int64_t budget = 0; budget <= 12 * 5 * 6 * 8; budget += 37) {
      const auto chosen = allocate_precision(modules, budget);
      const double least = least_error(modules, budget);
      ASSERT_EQ(chosen.has_value(), least < std::numeric_limits<double>::infinity()) << budget;
      if (!chosen) continue;
      EXPECT_LE(sum_of(modules, *chosen).bytes, budget);
      EXPECT_NEAR(sum_of(modules, *chosen).error, least, 1e-12);  // another order of summation
    }
  }
}

// Sizes without a common divisor, far more than there are units.
TEST(PrecisionAllocation, OfLargeModulesMoreBudgetIsNeverWorse) {
  Modules modules = random_modules(3, 1 << 20);
  for (auto& choices : modules) {
    for (PrecisionChoice& choice : choices) choice.bytes += choice.bytes % 1013;
  }
  double last = std::numeric_limits<double>::infinity();
  for (int64_t budget = 20 << 20; budget < (300 << 20); budget += 999'983) {
    const auto chosen = allocate_precision(modules, budget);
    if (!chosen) continue;
    const PrecisionChoice sum = sum_of(modules, *chosen);
    EXPECT_LE(sum.bytes, budget);
    EXPECT_LE(sum.error, last);
    last = sum.error;
  }
  EXPECT_LT(last, std::numeric_limits<double>::infinity());
}

TEST(PrecisionAllocation, OfEqualErrorsTheSmallerIsTakenWhenAllFits) {
  const Modules modules = {{{8, 1}, {4, 1}}};
  EXPECT_EQ(allocate_precision(modules, 100), (std::vector<size_t>{1}));
}

TEST(PrecisionAllocation, SaysWhenNothingFits) {
  const Modules modules = {{{4, 1}}, {{4, 1}, {9, 0}}};
  EXPECT_EQ(allocate_precision(modules, 7), std::nullopt);
  EXPECT_EQ(allocate_precision(modules, 8), (std::vector<size_t>{0, 0}));
}

}  // namespace
}  // namespace nibble
