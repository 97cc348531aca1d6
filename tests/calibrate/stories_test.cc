// SPDX-License-Identifier: Apache-2.0
//
// What each method is worth on a real, small model: perplexity of texts that it has not seen. In
// memory, all Linear modules of the blocks: no file of GPTQ could hold the 172 rows of its MLP. The
// properties that tests record are the rows of a table in docs/quality.md (benchmarks/quality.py).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nibble/calibrate/awq_calibration.h"
#include "nibble/calibrate/gptq_calibration.h"
#include "nibble/calibrate/input_squares.h"
#include "nibble/calibrate/loss_sensitivity.h"
#include "nibble/eval/perplexity.h"
#include "nibble/io/text_list.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/eetq.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/hqq_solver.h"
#include "nibble/quant/precision_allocation.h"
#include "nibble/quant/registry.h"
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

  // The groups of 32 are cut short at the end of the 172 columns of down_proj.
  static GptqScheme groups(bool sym, int64_t bits = 4) {
    GptqConfig config;
    config.format = "gptq_v2";
    config.bits = bits;
    config.group_size = 32;
    config.sym = sym;
    return GptqScheme(config);
  }

  // A scale and a zero for 32 codes.
  static double bits_of_groups(int64_t bits) {
    return static_cast<double>(bits) + static_cast<double>(16 + bits) / 32;
  }

  std::set<std::string> linears_of_blocks() const {
    std::set<std::string> paths;
    std::as_const(*opened_.model).visit([&](const std::string& path, const Linear&) {
      if (path != "lm_head") paths.insert(path);
    });
    return paths;
  }

  // Runs what quantizes the model, then measures it. `bits` of a weight: with scales and zeros as
  // files in 16 bits have them.
  double measure(const char* method, double bits, const std::function<void()>& quantize) {
    const auto start = std::chrono::steady_clock::now();
    quantize();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    const double found = perplexity();
    RecordProperty("method", method);
    RecordProperty("bits", fmt::format("{:.3f}", bits));
    RecordProperty("perplexity", fmt::format("{:.3f}", found));
    RecordProperty("seconds", fmt::format("{:.2f}", time.count()));
    return found;
  }

  // Each matrix by itself.
  double without_texts(const char* method, double bits,
                       const std::function<Weight(const Tensor&)>& quantize) {
    return measure(method, bits, [&] {
      opened_.model->visit([&](const std::string& path, Linear& linear) {
        if (path == "lm_head") return;
        const Tensor& dense = linear.weight().weight().as_dense().values;
        linear.set_weight(opened_.backend->prepare(quantize(dense)));
      });
    });
  }
  double rounded(const char* method, bool sym, int64_t bits) {
    return without_texts(method, bits_of_groups(bits), [&](const Tensor& dense) {
      return groups(sym, bits).quantize(dense, *opened_.pool);
    });
  }
  double by_scheme(const char* method, double bits, const Scheme& scheme) {
    return without_texts(
        method, bits, [&](const Tensor& dense) { return scheme.quantize(dense, *opened_.pool); });
  }

  double by_gptq(const char* method, bool sym, int64_t bits, bool desc_act = false) {
    return measure(method, bits_of_groups(bits), [&] {
      const GptqScheme rounding = groups(sym, bits);
      CalibrationTask task;
      GptqSolverOptions solver;
      solver.desc_act = desc_act;
      task.grid = [&](const std::string&, int64_t cols) { return rounding.grid_options(cols); };
      task.modules = linears_of_blocks();
      const Calibration result = collect([&](const CalibrationSink& sink) {
        calibrate_gptq(*opened_.model, *opened_.backend, *opened_.pool, seen_, task, solver, sink);
      });
      EXPECT_EQ(result.weights.size(), 35u);  // 5 blocks of 7
      EXPECT_EQ(result.modules.size(), 35u);
    });
  }

  double by_awq(const char* method, bool zero_point) {
    return measure(method, bits_of_groups(4), [&] {
      AwqConfig config;
      config.format = "gemm";
      config.group_size = 32;
      config.zero_point = zero_point;
      const AwqScheme rounding(config);
      CalibrationTask task;
      task.grid = [&](const std::string&, int64_t cols) { return rounding.grid_options(cols); };
      task.modules = linears_of_blocks();
      const Calibration result = collect([&](const CalibrationSink& sink) {
        calibrate_awq(*opened_.model, *opened_.backend, *opened_.pool, seen_, task, sink);
      });
      EXPECT_EQ(result.weights.size(), 35u);
      // Of single modules it may be more: q, k and v share their scales.
      double loss = 0, rounded = 0;
      for (const CalibratedModule& module : result.modules) {
        loss += module.loss;
        rounded += *module.rounded_loss;
      }
      EXPECT_LT(loss, rounded);
    });
  }

  // HQQ has no short groups: the last 12 columns of 172 are a matrix of their own.
  Weight hqq(const Tensor& dense, double nbits) const {
    HqqWeightParams params;
    params.nbits = nbits;
    params.round_zero = nbits == 4;
    const int64_t rows = dense.dim(0), cols = dense.dim(1), whole = cols / 32 * 32;
    Tensor result = Tensor::empty(DType::kF32, dense.shape());
    for (const auto& [begin, end] : {std::pair{int64_t{0}, whole}, std::pair{whole, cols}}) {
      if (begin == end) continue;
      Tensor part = Tensor::empty(DType::kF32, {rows, end - begin});
      for (int64_t r = 0; r < rows; ++r) {
        std::ranges::copy_n(dense.data<float>().begin() + r * cols + begin, end - begin,
                            part.mutable_data<float>().begin() + r * (end - begin));
      }
      const HqqShape shape{
          .rows = rows, .cols = end - begin, .group_size = std::min<int64_t>(32, end - begin)};
      const Weight solved = solve_hqq(part, *opened_.pool, shape, params);
      for (int64_t r = 0; r < rows; ++r) {
        solved.decode_row(
            r, result.mutable_data<float>().subspan(static_cast<size_t>(r * cols + begin),
                                                    static_cast<size_t>(end - begin)));
      }
    }
    return Weight::dense(std::move(result));
  }
  double by_hqq(const char* method, double nbits) {
    return without_texts(method, nbits + 2 * 16 / 32.0,
                         [&](const Tensor& dense) { return hqq(dense, nbits); });
  }

  // Of 2, 3, 4 and 8 bits by HQQ, whatever the texts say of each module.
  double mixed(const char* method, double codes) {
    return measure(method, codes + 2 * 16 / 32.0, [&] {
      const InputSquares squares =
          weigh_by_loss(*opened_.model, *opened_.backend, *opened_.pool, seen_,
                        measure_input_squares(*opened_.model, *opened_.backend, seen_), {});
      std::vector<std::vector<Weight>> weights;
      std::vector<std::vector<PrecisionChoice>> choices;
      double budget = 0;
      opened_.model->visit([&](const std::string& path, Linear& linear) {
        if (path == "lm_head") return;
        const Tensor& dense = linear.weight().weight().as_dense().values;
        weights.emplace_back();
        choices.emplace_back();
        budget += static_cast<double>(dense.numel()) * codes / 8;
        for (const int64_t bits : {2, 3, 4, 8}) {
          weights.back().push_back(hqq(dense, static_cast<double>(bits)));
          choices.back().push_back(
              {dense.numel() * bits / 8,
               weight_error(weights.back().back(), dense, squares.at(path), *opened_.pool)});
        }
      });
      const auto chosen = allocate_precision(choices, static_cast<int64_t>(budget));
      ASSERT_TRUE(chosen);
      size_t module = 0;
      opened_.model->visit([&](const std::string& path, Linear& linear) {
        if (path == "lm_head") return;
        linear.set_weight(opened_.backend->prepare(weights[module][(*chosen)[module]]));
        ++module;
      });
    });
  }

  OpenedModel opened_;
  std::vector<std::vector<int32_t>> scored_, seen_;
};

TEST_F(StoriesTest, Plain) {
  EXPECT_NEAR(measure("plain", 32, [] {}), 5.280, 0.001);
}

TEST_F(StoriesTest, EightBitsLoseNothing) {
  EXPECT_NEAR(by_scheme("EETQ", 8 + 16 / 64.0, EetqScheme(EetqConfig())), 5.280, 0.001);
}

TEST_F(StoriesTest, Nf4) {
  BitsAndBytesConfig config;
  config.load_in_4bit = true;
  config.bnb_4bit_quant_type = "nf4";
  config.bnb_4bit_use_double_quant = true;
  EXPECT_NEAR(by_scheme("NF4, double", 4 + 8 / 64.0, *make_scheme(config)), 5.870, 0.03);
}

TEST_F(StoriesTest, RoundedToNearest) { EXPECT_NEAR(rounded("rtn 4", false, 4), 5.777, 0.005); }
TEST_F(StoriesTest, RoundedToNearestSymmetric) {
  EXPECT_NEAR(rounded("rtn 4, symmetric", true, 4), 6.051, 0.01);
}
TEST_F(StoriesTest, RoundedToNearestThreeBits) {
  EXPECT_NEAR(rounded("rtn 3", false, 3), 9.786, 0.05);
}

TEST_F(StoriesTest, Gptq) { EXPECT_LE(by_gptq("GPTQ 4", false, 4), 5.62); }
TEST_F(StoriesTest, GptqInTheOrderOfActivation) {
  EXPECT_LE(by_gptq("GPTQ 4, desc_act", false, 4, true), 5.62);
}
TEST_F(StoriesTest, GptqSymmetric) { EXPECT_LE(by_gptq("GPTQ 4, symmetric", true, 4), 5.72); }
TEST_F(StoriesTest, GptqThreeBits) { EXPECT_LE(by_gptq("GPTQ 3", false, 3), 7.6); }

TEST_F(StoriesTest, Awq) { EXPECT_LE(by_awq("AWQ 4", true), 5.66); }

TEST_F(StoriesTest, Hqq) { EXPECT_LE(by_hqq("HQQ 4", 4), 5.74); }
TEST_F(StoriesTest, HqqThreeBits) { EXPECT_LE(by_hqq("HQQ 3", 3), 8.55); }

// Better than the same bits for all where there are such, and in between.
TEST_F(StoriesTest, MixedBits) { EXPECT_LE(mixed("HQQ, mixed 3", 3), 8.50); }
TEST_F(StoriesTest, MixedBitsBetween) { EXPECT_LE(mixed("HQQ, mixed 3.5", 3.5), 6.6); }
TEST_F(StoriesTest, MixedBitsOfFour) { EXPECT_LE(mixed("HQQ, mixed 4", 4), 5.722); }

}  // namespace
}  // namespace nibble
