// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/awq_calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/quantize_model.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/awq.h"
#include "tests/calibrate/collect.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;

class AwqCalibrationTest : public ::testing::Test {
 protected:
  AwqCalibrationTest() {
    config_.format = "gemm";
    config_.group_size = 32;
    tiny_.dtype = DType::kBF16;
    tiny_.write(model_);
  }

  OpenedModel open(const std::filesystem::path& folder, int threads = 2) const {
    OpenOptions options;
    options.pool = std::make_shared<ThreadPool>(threads);
    options.kv_cache_dtype = DType::kF32;
    return open_model(folder, options);
  }

  // All Linears of the blocks that `wanted` takes.
  template <typename F>
  Calibration calibrate(OpenedModel& opened, const F& wanted) const {
    CalibrationTask task;
    task.grid = [&](const std::string&, int64_t cols) {
      return AwqScheme(config_).grid_options(cols);
    };
    std::as_const(*opened.model).visit([&](const std::string& path, const Linear&) {
      if (path != "lm_head" && wanted(path)) task.modules.insert(path);
    });
    return testing::collect([&](const CalibrationSink& sink) {
      calibrate_awq(*opened.model, *opened.backend, *opened.pool, sequences_, task, sink);
    });
  }
  Calibration calibrate(OpenedModel& opened) const {
    return calibrate(opened, [](const std::string&) { return true; });
  }

  static std::vector<float> logits(OpenedModel& opened) {
    const std::unique_ptr<Stream> stream = opened.backend->new_stream();
    Context ctx{*opened.backend, *stream};
    KvCache cache = opened.model->new_cache();
    TokenBatch batch;
    batch.add(cache.add_sequence(), {7, 40, 17, 9, 66});
    const Tensor all = opened.model->forward(ctx, batch, cache, LogitsOf::kAllTokens);
    const auto values = all.data<float>();
    return {values.begin(), values.end()};
  }

  static bool same_codes(const Weight& a, const Weight& b) {
    return std::ranges::equal(a.as_affine_group().codes.bytes(), b.as_affine_group().codes.bytes());
  }

  testing::ScratchFolder folder_;
  const std::filesystem::path model_ = folder_ / "model", written_ = folder_ / "written";
  testing::TinyModel tiny_;
  AwqConfig config_;
  const std::vector<std::vector<int32_t>> sequences_ = {{5, 20, 31, 8, 44, 90, 3}, {9, 9, 70, 12}};
};

TEST_F(AwqCalibrationTest, TheFolderRunsAsTheModelThatWasCalibrated) {
  // A v and an up that stay plain take scales all the same.
  const auto wanted = [](const std::string& path) {
    return path != "model.layers.0.self_attn.v_proj" && path != "model.layers.1.mlp.up_proj";
  };
  OpenedModel opened = open(model_);
  const std::vector<float> original = logits(opened);
  Calibration result = calibrate(opened, wanted);
  EXPECT_EQ(result.weights.size(), 12u);
  EXPECT_TRUE(result.tensors.contains("model.layers.0.self_attn.v_proj.weight"));
  EXPECT_TRUE(result.tensors.contains("model.layers.1.mlp.up_proj.weight"));
  EXPECT_EQ(result.tensors.size(), 6u);  // and two norms of both blocks
  CodeChoice choice{model_ / "config.json", {}, {"model."}, {}};
  for (const auto& [module, weight] : result.weights) choice.modules.push_back(module);
  choice.run = [&](const auto&, int64_t, const auto& take) {
    take(0, {result.weights, result.tensors});
  };
  quantize_model(model_, written_, AwqScheme(config_), *opened.pool, {}, nullptr, &choice);
  OpenedModel again = open(written_);
  EXPECT_EQ(logits(opened), logits(again));
  EXPECT_NE(logits(opened), original);
}

TEST_F(AwqCalibrationTest, SearchesSeeNoErrorOfOtherWeights) {
  OpenedModel one = open(model_), all = open(model_);
  const std::string last = "model.layers.1.mlp.down_proj";
  const Calibration alone = calibrate(one, [&](const std::string& path) { return path == last; });
  const Calibration together = calibrate(all);
  EXPECT_TRUE(same_codes(alone.weights.at(last), together.weights.at(last)));
  EXPECT_EQ(alone.modules.front().loss, together.modules.back().loss);
}

TEST_F(AwqCalibrationTest, ResultsDoNotDependOnTheNumberOfThreads) {
  OpenedModel one = open(model_, 1), three = open(model_, 3);
  const Calibration a = calibrate(one), b = calibrate(three);
  ASSERT_EQ(a.weights.size(), 14u);
  for (const auto& [name, weight] : a.weights) {
    EXPECT_TRUE(same_codes(weight, b.weights.at(name))) << name;
  }
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(std::ranges::equal(tensor.bytes(), b.tensors.at(name).bytes())) << name;
  }
}

TEST_F(AwqCalibrationTest, LeavesLessErrorThanRounding) {
  OpenedModel opened = open(model_);
  const Calibration result = calibrate(opened);
  double loss = 0, rounded = 0;
  for (const CalibratedModule& module : result.modules) {
    EXPECT_EQ(module.tokens, 11);
    EXPECT_FALSE(module.damp_percent);
    loss += module.loss;
    rounded += *module.rounded_loss;
  }
  EXPECT_LT(loss, 0.9 * rounded);
}

TEST_F(AwqCalibrationTest, NamesTheModuleWhoseInputsAreNoNumbers) {
  OpenedModel opened = open(model_);
  opened.model->visit_norms([&](const std::string& path, RmsNorm& norm) {
    if (path != "model.layers.1.post_attention_layernorm") return;
    Tensor huge = Tensor::empty(DType::kF32, norm.weight().shape());
    std::ranges::fill(huge.mutable_data<float>(), 1e30f);
    norm.set_weight(huge);
  });
  EXPECT_EQ(message_of([&] { calibrate(opened); }),
            "tensor 'model.layers.1.mlp.gate_proj.weight': activations of calibration are not "
            "finite");
}

}  // namespace
}  // namespace nibble
