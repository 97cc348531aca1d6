// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/input_squares.h"

#include <gtest/gtest.h>

#include "nibble/calibrate/block_run.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class InputSquaresTest : public ::testing::Test {
 protected:
  InputSquaresTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.pool = std::make_shared<ThreadPool>(2);
    opened_ = open_model(folder_ / "model", options);
  }

  // A text longer than the slices that the head takes.
  std::vector<std::vector<int32_t>> sequences() const {
    std::vector<std::vector<int32_t>> result = {{1, 5, 9, 40}, {}};
    for (int32_t i = 0; i < 100; ++i) result[1].push_back(3 + i % 90);
    return result;
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
};

TEST_F(InputSquaresTest, AreTheDiagonalsOfTheHessians) {
  const std::vector<std::vector<int32_t>> texts = sequences();
  const InputSquares squares = measure_input_squares(*opened_.model, *opened_.backend, texts);
  BlockRun run(*opened_.model, *opened_.backend, texts, {});
  InputObserver hessians(*opened_.pool);
  std::map<std::string, const PreparedWeight*> weights;
  std::as_const(*opened_.model).visit([&](const std::string& path, const Linear& linear) {
    weights.emplace(path, &linear.weight());
    hessians.watch(linear.weight());
  });
  for (; !run.is_done(); run.finish()) run.advance(&hessians);
  run.observe_head(hessians);
  ASSERT_EQ(squares.size(), 15u);  // two blocks of seven and the head
  for (const auto& [path, weight] : weights) {
    const Hessian& hessian = hessians.of(*weight);
    ASSERT_EQ(hessian.tokens(), 104) << path;
    const std::vector<double>& own = squares.at(path);
    ASSERT_EQ(static_cast<int64_t>(own.size()), hessian.cols());
    for (int64_t i = 0; i < hessian.cols(); ++i) {
      // The Hessian adds up to 256 tokens in float32.
      const double expected = hessian.at(i, i) / 2;
      EXPECT_NEAR(own[static_cast<size_t>(i)], expected, 1e-5 * expected + 1e-12) << path;
    }
  }
}

}  // namespace
}  // namespace nibble
