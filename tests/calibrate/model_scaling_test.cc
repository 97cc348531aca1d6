// SPDX-License-Identifier: Apache-2.0
//
// The tables of scale groups, and what is made of them: an equivalent transform of a model.
#include "nibble/calibrate/model_scaling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "nibble/base/random.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class ModelScalingTest : public ::testing::Test {
 protected:
  void open(const std::filesystem::path& folder, DType dtype) {
    OpenOptions options;
    options.backend = "reference";
    options.pool = std::make_shared<ThreadPool>(2);
    options.dtype = dtype;
    options.kv_cache_dtype = DType::kF32;
    opened_ = open_model(folder, options);
    stream_ = opened_.backend->new_stream();
  }

  Context ctx() { return {*opened_.backend, *stream_}; }

  std::vector<float> logits() {
    Context context = ctx();
    KvCache cache = opened_.model->new_cache();
    TokenBatch batch;
    batch.add(cache.add_sequence(), {3, 40, 17, 9, 66, 21, 5});
    const Tensor all = opened_.model->forward(context, batch, cache, LogitsOf::kAllTokens);
    const auto values = all.data<float>();
    return {values.begin(), values.end()};
  }

  // Random biases, which random models do not have.
  void set_biases() {
    Random random(3);
    opened_.model->visit([&](const std::string&, Linear& linear) {
      if (!linear.bias().defined()) return;
      Tensor bias = Tensor::empty(DType::kF32, linear.bias().shape());
      for (float& x : bias.mutable_data<float>()) x = random.normal();
      linear.set_bias(bias);
    });
  }

  // Scales from 1/8 to 8 for all groups of all blocks.
  std::map<std::string, Tensor> scale_all(const std::set<std::string>& except = {}) {
    Random random(5);
    Context context = ctx();
    ModelScaling scaling(*opened_.model, context, *opened_.pool);
    for (int64_t block = 0; block < opened_.model->block_count(); ++block) {
      for (const ScaleGroup& group : opened_.model->scale_groups(block)) {
        const int64_t cols = scaling.linear(group.consumers[0].path).weight().weight().cols();
        std::vector<float> scales(static_cast<size_t>(cols / group.sharing));
        for (float& s : scales) s = std::exp2(std::clamp(random.normal() * 1.5f, -3.0f, 3.0f));
        scaling.add(group, scales);
      }
    }
    return scaling.apply(except);
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(ModelScalingTest, ScalesThatAreTakenBackChangeNoLogits) {
  // Grouped queries, biases of q, k, v (qwen2) and of all (llama_bias), norms of q and k (qwen3).
  for (const char* name : {"llama", "llama_bias", "mistral", "qwen2", "qwen3"}) {
    SCOPED_TRACE(name);
    open(paths::golden("models") / name, DType::kF32);
    ASSERT_GT(opened_.model->config().num_attention_heads,
              opened_.model->config().num_key_value_heads);
    set_biases();
    const std::vector<float> before = logits();
    const std::map<std::string, Tensor> changed = scale_all();
    EXPECT_TRUE(changed.contains("model.layers.1.post_attention_layernorm.weight"));
    EXPECT_EQ(changed.contains("model.layers.0.self_attn.v_proj.bias"),
              std::string(name).starts_with("qwen2") || std::string(name) == "llama_bias");
    EXPECT_EQ(changed.contains("model.layers.0.mlp.up_proj.bias"),
              std::string(name) == "llama_bias");
    const std::vector<float> after = logits();
    float largest = 0, difference = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      largest = std::max(largest, std::fabs(before[i]));
      difference = std::max(difference, std::fabs(after[i] - before[i]));
    }
    EXPECT_LT(difference, 1e-5f * largest);  // of two blocks, each rounded at every step
    EXPECT_GT(difference, 0.0f);
  }
}

TEST_F(ModelScalingTest, ColumnsTakeWhatARoundedNormHasGivenUp) {
  testing::TinyModel tiny;
  tiny.dtype = DType::kBF16;
  tiny.write(folder_ / "model");
  open(folder_ / "model", DType::kBF16);
  std::map<std::string, Tensor> norms;
  opened_.model->visit_norms(
      [&](const std::string& path, RmsNorm& norm) { norms.emplace(path, norm.weight()); });
  Context context = ctx();
  ModelScaling scaling(*opened_.model, context, *opened_.pool);
  const ScaleGroup group = opened_.model->scale_groups(0).front();
  scaling.add(group, std::vector<float>(static_cast<size_t>(tiny.hidden), 1.7f));
  const std::vector<float> columns = scaling.of("model.layers.0.self_attn.k_proj").columns;
  const std::map<std::string, Tensor> changed = scaling.apply();
  const Tensor stored = changed.at(group.absorber + ".weight");
  EXPECT_EQ(stored.dtype(), DType::kBF16);
  opened_.model->visit_norms([&](const std::string& path, RmsNorm& norm) {
    const auto now = norm.weight().data<float>(), old = norms.at(path).data<float>();
    if (path != group.absorber) {
      EXPECT_TRUE(std::ranges::equal(now, old));
      return;
    }
    const Tensor floats = to_dtype(stored, DType::kF32);
    EXPECT_TRUE(std::ranges::equal(now, floats.data<float>()));
    for (size_t i = 0; i < now.size(); ++i) {
      EXPECT_NEAR(columns[i], 1.7f, 0.01f);
      EXPECT_NEAR(now[i] * columns[i], old[i], 1e-6f);
    }
  });
}

TEST_F(ModelScalingTest, WeightsThatTheCallerReplacesStay) {
  testing::TinyModel().write(folder_ / "model");
  open(folder_ / "model", DType::kF32);
  const std::string kept = "model.layers.0.mlp.down_proj";
  std::map<std::string, const PreparedWeight*> before;
  std::as_const(*opened_.model).visit([&](const std::string& path, const Linear& linear) {
    before[path] = &linear.weight();
  });
  EXPECT_FALSE(scale_all({kept}).contains(kept + ".weight"));
  std::as_const(*opened_.model).visit([&](const std::string& path, const Linear& linear) {
    const bool stays = path == kept || path == "lm_head";
    EXPECT_EQ(before[path] == &linear.weight(), stays) << path;
  });
}

}  // namespace
}  // namespace nibble
