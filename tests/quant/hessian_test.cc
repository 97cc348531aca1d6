// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hessian.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/base/random.h"

namespace nibble {
namespace {

Tensor random_inputs(int64_t tokens, int64_t cols) {
  Random random(31);
  Tensor x = Tensor::empty(DType::kF32, {tokens, cols});
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return x;
}

// Sums over tokens in double, of what is added in two parts.
TEST(Hessian, IsTheMeanProductOfInputsForAnyShape) {
  for (const int64_t cols : {1, 7, 8, 32, 33, 70}) {
    for (const int64_t tokens : {1, 2, 3, 255, 256, 257, 600}) {
      const Tensor x = random_inputs(tokens, cols);
      const auto values = x.data<float>();
      const auto input = [&](int64_t t, int64_t i) {
        return static_cast<double>(values[static_cast<size_t>(t * cols + i)]);
      };
      ThreadPool pool(2);
      Hessian hessian(cols);
      hessian.add(x.slice_rows(0, tokens / 2), pool);
      hessian.add(x.slice_rows(tokens / 2, tokens), pool);
      ASSERT_EQ(hessian.tokens(), tokens);
      for (int64_t i = 0; i < cols; ++i) {
        double magnitude = 0;
        for (int64_t t = 0; t < tokens; ++t) magnitude += std::fabs(input(t, i));
        EXPECT_NEAR(hessian.mean_magnitude(i), magnitude / static_cast<double>(tokens), 1e-12);
        for (int64_t j = 0; j < cols; ++j) {
          double sum = 0;
          for (int64_t t = 0; t < tokens; ++t) sum += input(t, i) * input(t, j);
          // Up to 256 products near 1 are summed in float32: 2^-24 of sums up to 20, 128 times.
          ASSERT_NEAR(hessian.at(i, j), 2 * sum / static_cast<double>(tokens), 2e-5)
              << i << ", " << j << " of " << cols << ", " << tokens << " tokens";
        }
      }
    }
  }
}

TEST(Hessian, DoesNotDependOnTheNumberOfThreads) {
  const Tensor x = random_inputs(300, 100);
  ThreadPool one(1), three(3);
  Hessian a(100), b(100);
  a.add(x, one);
  b.add(x, three);
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(a.mean_magnitude(i), b.mean_magnitude(i));
    for (int64_t j = 0; j < 100; ++j) EXPECT_EQ(a.at(i, j), b.at(i, j));
  }
}

TEST(Hessian, RefusesOtherColumns) {
  ThreadPool pool(1);
  Hessian hessian(8);
  EXPECT_ANY_THROW(hessian.add(random_inputs(3, 9), pool));
}

}  // namespace
}  // namespace nibble
