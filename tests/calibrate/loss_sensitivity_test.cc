// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/loss_sensitivity.h"

#include <gtest/gtest.h>

#include "nibble/calibrate/input_squares.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class LossSensitivityTest : public ::testing::Test {
 protected:
  LossSensitivityTest() { testing::TinyModel().write(folder_ / "model"); }

  OpenedModel open(int threads = 2) const {
    OpenOptions options;
    options.pool = std::make_shared<ThreadPool>(threads);
    return open_model(folder_ / "model", options);
  }

  InputSquares weigh(OpenedModel& opened) const {
    squares_ = measure_input_squares(*opened.model, *opened.backend, sequences_);
    return weigh_by_loss(*opened.model, *opened.backend, *opened.pool, sequences_, squares_, {});
  }

  testing::ScratchFolder folder_;
  const std::vector<std::vector<int32_t>> sequences_ = {{1, 20, 30, 40, 50, 60}, {1, 9, 8, 7}};
  mutable InputSquares squares_;
};

TEST_F(LossSensitivityTest, IsOneFactorForEachModule) {
  OpenedModel opened = open();
  const InputSquares weighed = weigh(opened);
  ASSERT_EQ(weighed.size(), squares_.size());
  for (const auto& [path, values] : weighed) {
    const std::vector<double>& squares = squares_.at(path);
    const double factor = values[0] / squares[0];
    EXPECT_GT(factor, 0) << path;
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(values[i], factor * squares[i], 1e-12 * values[i]) << path;
    }
  }
}

TEST_F(LossSensitivityTest, LeavesTheModelAsItWas) {
  OpenedModel opened = open();
  const InputSquares once = weigh(opened), twice = weigh(opened);
  EXPECT_EQ(once, twice);
}

TEST_F(LossSensitivityTest, DoesNotDependOnThreads) {
  OpenedModel one = open(1), three = open(3);
  EXPECT_EQ(weigh(one), weigh(three));
}

// The outputs of a module of weights ten times smaller hardly matter to the sum that they join.
TEST_F(LossSensitivityTest, TellsWhatMattersFromWhatDoesNot) {
  OpenedModel opened = open();
  const InputSquares before = weigh(opened);
  const std::string path = "model.layers.1.mlp.down_proj", other = "model.layers.1.mlp.up_proj";
  const auto factor = [&](const InputSquares& weighed, const std::string& of) {
    return weighed.at(of)[0] / squares_.at(of)[0];
  };
  const double was = factor(before, other);
  opened.model->visit([&](const std::string& name, Linear& linear) {
    if (name != path) return;
    Tensor small = to_dtype(linear.weight().weight().dequantize(), DType::kF32);
    Tensor scaled = Tensor::empty(DType::kF32, small.shape());
    for (int64_t i = 0; i < small.numel(); ++i) {
      scaled.mutable_data<float>()[static_cast<size_t>(i)] =
          small.data<float>()[static_cast<size_t>(i)] / 10;
    }
    linear.set_weight(opened.backend->prepare(Weight::dense(std::move(scaled))));
  });
  // Errors of up_proj reach the sum through it: by a tenth, so a hundredth of the divergence.
  EXPECT_LT(factor(weigh(opened), other), was / 20);
}

}  // namespace
}  // namespace nibble
