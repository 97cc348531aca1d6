// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibrate_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/calibrate/gptq_calibration.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/gptq.h"
#include "tests/calibrate/collect.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::collect;
using testing::message_of;

class CalibrateModelTest : public ::testing::Test {
 protected:
  CalibrateModelTest() {
    testing::TinyModel().write(model_);
    nlohmann::ordered_json texts;
    Random random(11);
    for (int i = 0; i < 6; ++i) {
      std::string text;
      for (int k = 0; k < 50; ++k) text += static_cast<char>(' ' + random.next() % 93);
      texts.push_back(text);
    }
    options_.texts = folder_ / "texts.json";
    write_file_atomically(options_.texts, texts.dump());
    config_.format = "gptq_v2";
    config_.group_size = 32;
    config_.sym = false;
    awq_.format = "gemm";
    awq_.group_size = 32;
  }

  struct Calibrated {
    QuantizationConfig config;
    std::vector<std::string> plain;
    Calibration calibration;
  };

  template <typename Config>
  Calibrated calibrate_with(const Config& config, int threads = 2) {
    ModelCalibration job(model_, config, options_, std::make_shared<ThreadPool>(threads));
    return {job.config(), job.plain(),
            collect([&](const CalibrationSink& sink) { job.run({}, sink); })};
  }

  Calibrated calibrate(int threads = 2) { return calibrate_with(config_, threads); }
  Calibrated calibrate_awq_model() { return calibrate_with(awq_); }

  testing::ScratchFolder folder_;
  const std::filesystem::path model_ = folder_ / "model";
  GptqConfig config_;
  AwqConfig awq_;
  CalibrationOptions options_;
};

TEST_F(CalibrateModelTest, ChoosesCodesOfAllLinearsOfAllBlocksInTheirOrder) {
  const Calibrated result = calibrate();
  ASSERT_EQ(result.calibration.modules.size(), 14u);
  EXPECT_EQ(result.calibration.modules.front().name, "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(result.calibration.modules.back().name, "model.layers.1.mlp.down_proj");
  EXPECT_TRUE(result.plain.empty());
  EXPECT_FALSE(std::get<GptqConfig>(result.config).modules_in_block_to_quantize);
  const auto& record = std::get<GptqConfig>(result.config).meta.at("calibration");
  EXPECT_EQ(record.at("texts"), "texts.json");
  EXPECT_EQ(record.at("samples"), 6);
  EXPECT_EQ(record.at("convention"), "auto");
  EXPECT_EQ(record.at("seed"), 0);
  EXPECT_EQ(record.at("seqlen"), 128);  // the model's context
  for (const CalibratedModule& module : result.calibration.modules) {
    EXPECT_EQ(module.tokens, record.at("tokens"));
    EXPECT_GT(module.loss, 0);
    EXPECT_EQ(result.calibration.weights.at(module.name).layout(), Layout::kAffineGroup);
  }
}

TEST_F(CalibrateModelTest, RulesGiveModulesBitsAndGroupsOfTheirOwn) {
  const Calibrated same = calibrate();
  GptqRule rule;
  rule.pattern = R"(model\.layers\.1\.self_attn\.(k|v)_proj$)";
  rule.bits = 8;
  config_.dynamic.push_back(rule);
  rule.pattern = R"(model\.layers\.1\.self_attn\.q_proj$)";
  rule.bits.reset();
  rule.group_size = 16;
  config_.dynamic.push_back(rule);
  const Calibrated result = calibrate();
  EXPECT_EQ(std::get<GptqConfig>(result.config).dynamic.size(), 2u);
  for (const auto& [name, weight] : result.calibration.weights) {
    const AffineGroup& packed = weight.as_affine_group();
    const bool wide =
        name == "model.layers.1.self_attn.k_proj" || name == "model.layers.1.self_attn.v_proj";
    const bool narrow = name == "model.layers.1.self_attn.q_proj";
    EXPECT_EQ(packed.bits, wide ? 8 : config_.bits) << name;
    EXPECT_EQ(packed.group_size, narrow ? 16 : config_.group_size) << name;
    if (name.starts_with("model.layers.0.")) {
      EXPECT_TRUE(std::ranges::equal(
          packed.codes.bytes(), same.calibration.weights.at(name).as_affine_group().codes.bytes()));
    }
  }
}

TEST_F(CalibrateModelTest, GivesBlockAfterBlockAsTheyAreDone) {
  ModelCalibration job(model_, awq_, options_, std::make_shared<ThreadPool>(2));
  EXPECT_EQ(job.blocks(), (std::vector<std::string>{"model.layers.0.", "model.layers.1."}));
  std::vector<int64_t> blocks;
  const std::vector<CalibratedModule> modules = job.run({}, [&](int64_t block, Calibration&& done) {
    blocks.push_back(block);
    EXPECT_EQ(done.weights.size(), 7u);
    EXPECT_EQ(done.tensors.size(), 2u);
    for (const auto& [name, weight] : done.weights) {
      EXPECT_TRUE(name.starts_with(job.blocks()[static_cast<size_t>(block)])) << name;
    }
  });
  EXPECT_EQ(blocks, (std::vector<int64_t>{0, 1}));
  ASSERT_EQ(modules.size(), 14u);
  for (size_t i = 0; i < modules.size(); ++i) EXPECT_EQ(modules[i].name, job.modules()[i]);
}

TEST_F(CalibrateModelTest, GoesOnWithTheBlockThatWasNotTaken) {
  const auto check = [&](const auto& config) {
    const Calibrated whole = calibrate_with(config);
    const CalibrationWork work{folder_ / "work", 0, /*max_memory=*/0};
    ModelCalibration job(model_, config, options_, std::make_shared<ThreadPool>(2));
    const auto fails = [&](int64_t block, Calibration&&) {
      if (block == 1) throw Error("the disk is full");
    };
    EXPECT_EQ(message_of([&] { job.run(work, fails); }), "the disk is full");

    std::vector<int64_t> blocks;
    std::vector<CalibratedModule> modules;
    const Calibration rest = collect([&](const CalibrationSink& sink) {
      const CalibrationSink counted = [&](int64_t block, Calibration&& done) {
        blocks.push_back(block);
        sink(block, std::move(done));
      };
      modules = job.run({work.folder, 1}, counted);
    });
    EXPECT_EQ(blocks, (std::vector<int64_t>{1}));
    EXPECT_EQ(rest.weights.size(), 7u);
    for (const auto& [name, weight] : rest.weights) {
      const AffineGroup& a = weight.as_affine_group();
      const AffineGroup& b = whole.calibration.weights.at(name).as_affine_group();
      EXPECT_TRUE(std::ranges::equal(a.codes.bytes(), b.codes.bytes())) << name;
    }
    ASSERT_EQ(modules.size(), 14u);
    for (size_t i = 0; i < modules.size(); ++i) {
      EXPECT_EQ(to_json(modules[i]), to_json(whole.calibration.modules[i]));
    }

    // All is taken: what is said of modules is left.
    EXPECT_EQ(job.run({work.folder, 2}, fails).size(), 14u);
    // A folder that has nothing: blocks are done again.
    blocks.clear();
    job.run({folder_ / "other", 1}, [&](int64_t block, Calibration&&) { blocks.push_back(block); });
    EXPECT_EQ(blocks, (std::vector<int64_t>{0, 1}));
    std::filesystem::remove_all(folder_ / "work");
    std::filesystem::remove_all(folder_ / "other");
  };
  check(config_);
  check(awq_);
}

TEST_F(CalibrateModelTest, CodesDoNotDependOnTheNumberOfThreads) {
  const Calibrated one = calibrate(1), three = calibrate(3);
  for (const auto& [name, weight] : one.calibration.weights) {
    const AffineGroup& a = weight.as_affine_group();
    const AffineGroup& b = three.calibration.weights.at(name).as_affine_group();
    EXPECT_TRUE(std::ranges::equal(a.codes.bytes(), b.codes.bytes())) << name;
    EXPECT_TRUE(std::ranges::equal(a.scales.bytes(), b.scales.bytes())) << name;
  }
}

TEST_F(CalibrateModelTest, ModulesThatFillNoWordsStayPlainAndAreNamed) {
  testing::TinyModel model;
  model.intermediate = 100;
  std::filesystem::remove_all(model_);
  model.write(model_);
  const Calibrated result = calibrate();
  EXPECT_EQ(result.plain.size(), 6u);
  EXPECT_EQ(result.calibration.modules.size(), 8u);
  const std::vector<std::vector<std::string>> named = {
      {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"}};
  EXPECT_EQ(std::get<GptqConfig>(result.config).modules_in_block_to_quantize, named);
}

TEST_F(CalibrateModelTest, AwqQuantizesWhatItsFilesHoldAndNamesTheRest) {
  const Calibrated all = calibrate_awq_model();
  EXPECT_EQ(all.calibration.weights.size(), 14u);
  EXPECT_EQ(all.calibration.tensors.size(), 4u);  // the norms
  const AwqConfig& config = std::get<AwqConfig>(all.config);
  EXPECT_FALSE(config.modules_to_not_convert);
  EXPECT_EQ(config.meta.at("calibration").at("texts"), "texts.json");
  EXPECT_EQ(config.meta.at("calibration").at("seqlen"), 128);

  testing::TinyModel model;
  model.intermediate = 100;
  std::filesystem::remove_all(model_);
  model.write(model_);
  awq_.modules_to_not_convert = {{"k_proj"}};
  const Calibrated some = calibrate_awq_model();
  EXPECT_EQ(some.calibration.weights.size(), 6u);
  EXPECT_EQ(some.plain.size(), 6u);
  const std::vector<std::string> kept = {"k_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
  EXPECT_EQ(std::get<AwqConfig>(some.config).modules_to_not_convert, kept);
  EXPECT_TRUE(some.calibration.tensors.contains("model.layers.1.self_attn.k_proj.weight"));
}

TEST_F(CalibrateModelTest, AwqRefusesGroupsBeforeItsLongPart) {
  awq_.group_size = 48;
  EXPECT_EQ(message_of([&] { calibrate_awq_model(); }),
            "tensor 'model.layers.0.self_attn.q_proj.weight': group_size does not divide the "
            "columns: expected a divisor of 64, or -1, got 48");
  awq_.group_size = 16;
  EXPECT_NO_THROW(calibrate_awq_model());
  awq_.format = "gemv";
  EXPECT_EQ(message_of([&] { calibrate_awq_model(); }),
            "tensor 'model.layers.0.self_attn.q_proj.weight': this matrix cannot be packed for the "
            "format: expected a group size of 32, 64, or 128 and more, got [64, 64] in groups of "
            "16");
}

TEST_F(CalibrateModelTest, TheModelRunsOnWithTheChosenCodes) {
  ThreadPool pool(2);
  OpenedModel opened = open_model(model_);
  CalibrationTask task;
  task.modules = {"model.layers.0.self_attn.k_proj"};
  task.grid = [this](const std::string&, int64_t cols) {
    return GptqScheme(config_).grid_options(cols);
  };
  const std::vector<std::vector<int32_t>> sequences = {{5, 20, 31, 8, 44}, {9, 9, 70}};
  const Calibration result = collect([&](const CalibrationSink& sink) {
    calibrate_gptq(*opened.model, *opened.backend, pool, sequences, task, {}, sink);
  });
  ASSERT_EQ(result.modules.size(), 1u);
  EXPECT_EQ(result.modules[0].tokens, 8);
  std::as_const(*opened.model).visit([&](const std::string& path, const Linear& linear) {
    const Layout layout = linear.weight().weight().layout();
    EXPECT_EQ(layout, task.modules.contains(path) ? Layout::kAffineGroup : Layout::kDense);
  });
}

TEST_F(CalibrateModelTest, AWeightOfAnotherShapeIsNotTaken) {
  OpenedModel opened = open_model(model_);
  opened.model->visit([&](const std::string& path, Linear& linear) {
    if (!path.ends_with("k_proj")) return;
    const auto other = opened.backend->prepare(Weight::dense(Tensor::zeros(DType::kF32, {64, 64})));
    EXPECT_EQ(message_of([&] { linear.set_weight(other); }),
              "a weight cannot take the place of one of another shape: expected [32, 64], got "
              "[64, 64]");
  });
}

TEST_F(CalibrateModelTest, RefusesWhatCannotBeCalibrated) {
  config_.group_size = 48;
  EXPECT_EQ(message_of([&] { calibrate(); }),
            "tensor 'model.layers.0.self_attn.q_proj.weight': group_size does not divide the "
            "columns: expected a divisor of 64, or -1, got 48");
  config_.group_size = 32;
  options_.seqlen = 129;
  EXPECT_EQ(message_of([&] { calibrate(); }),
            "sequences of the calibration are longer than the model's context: expected at most "
            "128 tokens, got 129");
  options_.seqlen.reset();
  options_.texts = folder_ / "none.json";
  EXPECT_NE(message_of([&] { calibrate(); }).find("none.json"), std::string::npos);
}

}  // namespace
}  // namespace nibble
