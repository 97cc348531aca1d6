// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/reference/reference_limits.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace nibble {
namespace {

// As integers: a sum of floats would wait for each addition and measure that.
uint64_t sum_words(const std::vector<uint64_t>& words) {
  uint64_t sum = 0;
  for (const uint64_t word : words) sum += word;
  return sum;
}

// Eight chains, so that none waits for the one before it.
float multiply_and_add(int64_t steps, float term) {
  std::array<float, 8> chains{};
  for (int64_t step = 0; step < steps; ++step) {
    for (float& chain : chains) chain = chain * 0.999f + term;
  }
  float sum = 0.0f;
  for (const float chain : chains) sum += chain;
  return sum;
}

// Of the fastest of several runs. A result that is used keeps its work from being optimized away.
template <typename Run>
double per_second_of(double amount, const Run& run) {
  constexpr int kRuns = 4;
  double fastest = 0.0;
  for (int i = 0; i < kRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const bool done = run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (done) fastest = std::max(fastest, amount / seconds.count());
  }
  return fastest;
}

}  // namespace

DeviceLimits reference_limits() {
  constexpr int64_t kSteps = 2 << 20;                      // about 10 ms
  const std::vector<uint64_t> words(size_t{16} << 20, 1);  // 128 MiB: no cache holds it
  volatile float term = 1.0f;                              // unknown to the compiler
  DeviceLimits limits;
  limits.read_bytes_per_second = per_second_of(static_cast<double>(words.size() * sizeof(uint64_t)),
                                               [&] { return sum_words(words) == words.size(); });
  limits.multiply_adds_per_second = per_second_of(
      static_cast<double>(kSteps) * 8, [&] { return multiply_and_add(kSteps, term) > 0.0f; });
  return limits;
}

}  // namespace nibble
