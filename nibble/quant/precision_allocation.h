// SPDX-License-Identifier: Apache-2.0
//
// Mixed precision as a knapsack: of several ways to store each module one is chosen, so that the
// sum of errors is least while the sum of sizes stays within a budget. Knows no formats.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nibble {

struct PrecisionChoice {
  int64_t bytes = 0;
  double error = 0;
};

// The index of a choice for each module; nothing where even the smallest exceed the budget. Every
// module has 1 to 255 choices of finite errors. Exact where the differences of sizes have a common
// divisor that cuts their sum into no more than 2^17 pieces; else each difference counts as up to
// 2^-17 of that sum more than it is. What is summed never exceeds the budget, and a larger budget
// never gives a larger error.
std::optional<std::vector<size_t>> allocate_precision(
    std::span<const std::vector<PrecisionChoice>> modules, int64_t budget);

}  // namespace nibble
