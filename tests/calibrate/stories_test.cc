// SPDX-License-Identifier: Apache-2.0
//
// What calibration is worth on a real, small model: perplexity of texts that it has not seen.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nibble/calibrate/awq_calibration.h"
#include "nibble/calibrate/gptq_calibration.h"
#include "nibble/eval/perplexity.h"
#include "nibble/io/text_list.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/gptq.h"
#include "nibble/text/tokenizer.h"
#include "tests/calibrate/collect.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using testing::collect;

class StoriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = paths::shared_data() / "stories260k_hf";
    const auto file = paths::shared_data() / "tinystories_text" / "tinystories_first_500.json";
    if (!std::filesystem::exists(folder) || !std::filesystem::exists(file)) GTEST_SKIP();
    OpenOptions options;
    options.pool = std::make_shared<ThreadPool>(2);
    opened_ = open_model(folder, options);
    const auto tokenizer = Tokenizer::load(folder);
    const std::vector<std::string> texts = read_text_list(file, 164);
    for (const std::string& text : texts) {
      std::vector<int32_t> ids = tokenizer->encode(text);
      ids.resize(std::min<size_t>(ids.size(), 512));
      (scored_.size() < 100 ? scored_ : seen_).push_back(std::move(ids));
    }
  }

  double perplexity() const {
    PerplexityOptions options;
    options.context = 512;
    return perplexity_of_texts(*opened_.model, *opened_.backend, scored_, options).perplexity;
  }

  static GptqScheme scheme(bool sym) {
    GptqConfig config;
    config.format = "gptq_v2";
    config.group_size = 32;
    config.sym = sym;
    return GptqScheme(config);
  }

  double rounded_perplexity() {
    opened_.model->visit([&](const std::string& path, Linear& linear) {
      if (path == "lm_head") return;
      const Tensor& dense = linear.weight().weight().as_dense().values;
      linear.set_weight(opened_.backend->prepare(scheme(false).quantize(dense, *opened_.pool)));
    });
    return perplexity();
  }

  std::set<std::string> linears_of_blocks() const {
    std::set<std::string> paths;
    std::as_const(*opened_.model).visit([&](const std::string& path, const Linear&) {
      if (path != "lm_head") paths.insert(path);
    });
    return paths;
  }

  // Quantizes all Linear modules of the blocks, those too that no GPTQ file could hold.
  double perplexity_of(bool sym, bool desc_act) {
    const GptqScheme rounding = scheme(sym);
    GptqCalibrationOptions options;
    options.solver.desc_act = desc_act;
    options.grid_of_cols = [&](int64_t cols) { return rounding.grid_options(cols); };
    options.modules = linears_of_blocks();
    const Calibration result = collect([&](const CalibrationSink& sink) {
      calibrate_gptq(*opened_.model, *opened_.backend, *opened_.pool, seen_, options, sink);
    });
    EXPECT_EQ(result.weights.size(), 35u);  // 5 blocks of 7
    EXPECT_EQ(result.modules.size(), 35u);
    return perplexity();
  }

  // The same with AWQ's searches.
  double scaled_perplexity(bool zero_point) {
    AwqConfig config;
    config.format = "gemm";
    config.group_size = 32;
    config.zero_point = zero_point;
    const AwqScheme rounding(config);
    AwqCalibrationOptions options;
    options.grid_of_cols = [&](int64_t cols) { return rounding.grid_options(cols); };
    options.modules = linears_of_blocks();
    const Calibration result = collect([&](const CalibrationSink& sink) {
      calibrate_awq(*opened_.model, *opened_.backend, *opened_.pool, seen_, options, sink);
    });
    EXPECT_EQ(result.weights.size(), 35u);
    // Of single modules it may be more: q, k and v share their scales.
    double loss = 0, rounded = 0;
    for (const CalibratedModule& module : result.modules) {
      loss += module.loss;
      rounded += *module.rounded_loss;
    }
    EXPECT_LT(loss, rounded);
    return perplexity();
  }

  OpenedModel opened_;
  std::vector<std::vector<int32_t>> scored_, seen_;
};

TEST_F(StoriesTest, FourBitsLoseATwelfthOfTheirPerplexityAtMost) {
  EXPECT_NEAR(perplexity(), 5.280, 0.001);
  const double calibrated = perplexity_of(/*sym=*/false, /*desc_act=*/false);
  EXPECT_LE(calibrated, 5.62);
  RecordProperty("perplexity", std::to_string(calibrated));
}

TEST_F(StoriesTest, RoundingToNearestLosesMore) { EXPECT_NEAR(rounded_perplexity(), 5.777, 0.005); }

TEST_F(StoriesTest, OrderOfActivationDoesAsWell) {
  const double calibrated = perplexity_of(/*sym=*/false, /*desc_act=*/true);
  EXPECT_LE(calibrated, 5.62);
  RecordProperty("perplexity", std::to_string(calibrated));
}

TEST_F(StoriesTest, ScalesOfAwqHelp) {
  const double calibrated = scaled_perplexity(/*zero_point=*/true);
  EXPECT_LE(calibrated, 5.66);
  RecordProperty("perplexity", std::to_string(calibrated));
}

}  // namespace
}  // namespace nibble
