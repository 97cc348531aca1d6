// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/precision_allocation.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace nibble {
namespace {

constexpr int64_t kMostUnits = int64_t{1} << 17;

using Choices = std::vector<PrecisionChoice>;

int64_t smallest(const Choices& choices) {
  return std::ranges::min(choices, {}, &PrecisionChoice::bytes).bytes;
}

// The unit in which sizes above the smallest are counted. Does not depend on the budget, without
// which budgets of different units could give errors in the wrong order.
int64_t unit_of(std::span<const Choices> modules) {
  int64_t divisor = 0, sum = 0;
  for (const Choices& choices : modules) {
    const int64_t least = smallest(choices);
    int64_t most = 0;
    for (const PrecisionChoice& choice : choices) {
      divisor = std::gcd(divisor, choice.bytes - least);
      most = std::max(most, choice.bytes - least);
    }
    sum += most;
  }
  return std::max({int64_t{1}, divisor, (sum + kMostUnits - 1) / kMostUnits});
}

// The least errors, the smaller of equals: what an unlimited budget gives.
std::vector<size_t> best_choices(std::span<const Choices> modules) {
  std::vector<size_t> best;
  for (const Choices& choices : modules) {
    const auto found = std::ranges::min_element(choices, [](const auto& a, const auto& b) {
      return a.error != b.error ? a.error < b.error : a.bytes < b.bytes;
    });
    best.push_back(static_cast<size_t>(found - choices.begin()));
  }
  return best;
}

int64_t bytes_of(std::span<const Choices> modules, const std::vector<size_t>& chosen) {
  int64_t bytes = 0;
  for (size_t m = 0; m < modules.size(); ++m) bytes += modules[m][chosen[m]].bytes;
  return bytes;
}

}  // namespace

std::optional<std::vector<size_t>> allocate_precision(std::span<const Choices> modules,
                                                      int64_t budget) {
  int64_t least = 0;
  for (const Choices& choices : modules) least += smallest(choices);
  if (least > budget) return std::nullopt;
  std::vector<size_t> chosen = best_choices(modules);
  const int64_t wanted = bytes_of(modules, chosen);
  if (wanted <= budget) return chosen;

  // errors[u]: the least of the modules so far that take at most u units above their smallest.
  const int64_t unit = unit_of(modules);
  const auto units = static_cast<size_t>((budget - least) / unit);
  std::vector<double> errors(units + 1), next(units + 1);
  std::vector<std::vector<uint8_t>> taken;
  const auto step_of = [&](const Choices& choices, size_t choice) {
    return static_cast<size_t>((choices[choice].bytes - smallest(choices) + unit - 1) / unit);
  };
  for (const Choices& choices : modules) {
    std::ranges::fill(next, std::numeric_limits<double>::infinity());
    std::vector<uint8_t>& took = taken.emplace_back(units + 1);
    for (size_t choice = 0; choice < choices.size(); ++choice) {
      for (size_t u = step_of(choices, choice), from = 0; u <= units; ++u, ++from) {
        const double error = errors[from] + choices[choice].error;
        if (error < next[u]) {
          next[u] = error;
          took[u] = static_cast<uint8_t>(choice);
        }
      }
    }
    errors.swap(next);
  }
  size_t left = units;
  for (size_t m = modules.size(); m-- > 0;) {
    chosen[m] = taken[m][left];
    left -= step_of(modules[m], chosen[m]);
  }
  return chosen;
}

}  // namespace nibble
