// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/open_model.h"

#include <gtest/gtest.h>

#include "nibble/nn/skip_modules.h"
#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

OpenOptions quantized(bool eight_bit) {
  OpenOptions options;
  BitsAndBytesConfig& config = options.quantization.emplace();
  config.load_in_8bit = eight_bit;
  config.load_in_4bit = !eight_bit;
  config.bnb_4bit_quant_type = "nf4";
  return options;
}

std::map<std::string, Layout> layouts(const RunningModel& running) {
  std::map<std::string, Layout> layouts;
  running.model().visit([&](const std::string& path, const Linear& linear) {
    layouts[path] = linear.weight().weight().layout();
  });
  return layouts;
}

TEST(OpenModel, PlainWeightsAreMappedInTheirDtype) {
  const RunningModel running(golden_model("mistral"));
  running.model().visit([](const std::string& path, const Linear& linear) {
    const Tensor& values = linear.weight().weight().as_dense().values;
    EXPECT_EQ(values.dtype(), DType::kBF16) << path;
    EXPECT_FALSE(values.buffer()->writable()) << path << " is a copy";
  });
}

TEST(OpenModel, DtypeConvertsPlainWeights) {
  OpenOptions options;
  options.dtype = DType::kF16;
  const RunningModel half(golden_model("mistral"), "reference", options);
  const RunningModel stored(golden_model("mistral"));
  half.model().visit([](const std::string&, const Linear& linear) {
    EXPECT_EQ(linear.weight().weight().dtype(), DType::kF16);
  });
  EXPECT_EQ(half.opened.memory_footprint, stored.opened.memory_footprint);
  OpenOptions wrong;
  wrong.dtype = DType::kI8;
  EXPECT_EQ(
      message_of([&] { RunningModel running(golden_model("mistral"), "reference", wrong); }),
      "weights cannot be held in this dtype: expected float32, float16 or bfloat16, got int8");
}

TEST(OpenModel, QuantizesAllLinearsButTheHead) {
  for (const auto& [path, layout] :
       layouts(RunningModel(golden_model("llama"), "reference", quantized(false)))) {
    EXPECT_EQ(layout, path == "lm_head" ? Layout::kDense : Layout::kCodeBlock) << path;
  }
  for (const auto& [path, layout] :
       layouts(RunningModel(golden_model("qwen3"), "reference", quantized(true)))) {
    EXPECT_EQ(layout, path == "lm_head" ? Layout::kDense : Layout::kInt8Row) << path;
  }
}

TEST(OpenModel, ListOfTheUserReplacesTheAutomaticOne) {
  OpenOptions options = quantized(false);
  options.quantization->llm_int8_skip_modules = {"down_proj", "model.layers.0.self_attn"};
  for (const auto& [path, layout] :
       layouts(RunningModel(golden_model("llama"), "reference", options))) {
    const bool skipped =
        path.ends_with("down_proj") || path.starts_with("model.layers.0.self_attn.");
    EXPECT_EQ(layout, skipped ? Layout::kDense : Layout::kCodeBlock) << path;
  }
}

TEST(OpenModel, ActivationModeIsOverridden) {
  OpenOptions options;
  options.activation = ActivationMode::kFloat;
  const RunningModel running(golden_model("llama_int8"), "reference", options);
  int packed = 0;
  running.model().visit([&](const std::string&, const Linear& linear) {
    packed += linear.weight().weight().layout() == Layout::kInt8Row;
    EXPECT_EQ(linear.weight().weight().activation_mode(), ActivationMode::kFloat);
  });
  EXPECT_EQ(packed, 14);
}

TEST(OpenModel, Int8ActivationsReachEveryQuantizedModuleAndNoOther) {
  OpenOptions options;
  options.activation = ActivationMode::kInt8;
  const RunningModel running(golden_model("llama_nf4"), "reference", options);
  int packed = 0;
  running.model().visit([&](const std::string&, const Linear& linear) {
    const Weight& weight = linear.weight().weight();
    const bool quantized = weight.layout() == Layout::kCodeBlock;
    packed += quantized;
    EXPECT_EQ(weight.activation_mode(), quantized ? ActivationMode::kInt8 : ActivationMode::kFloat);
  });
  EXPECT_EQ(packed, 14);
}

TEST(OpenModel, FileWinsOverTheConfigGiven) {
  const RunningModel running(golden_model("llama_nf4"), "reference", quantized(true));
  EXPECT_EQ(layouts(running)["model.layers.0.mlp.up_proj"], Layout::kCodeBlock);
  EXPECT_EQ(running.opened.warnings,
            (std::vector<std::string>{"the checkpoint is quantized already: its "
                                      "quantization_config is used, the one given is not"}));
}

TEST(OpenModel, NothingToQuantizeIsWarnedOf) {
  OpenOptions options = quantized(false);
  options.quantization->llm_int8_skip_modules = {"model", "lm_head"};
  const RunningModel running(golden_model("llama"), "reference", options);
  EXPECT_EQ(running.opened.warnings,
            (std::vector<std::string>{"no module of the model is quantized with nf4"}));
}

class Steps : public Progress {
 public:
  void begin(std::string_view what, int64_t total_steps, Unit) override {
    job = what;
    total = total_steps;
  }
  void advance(int64_t steps, std::string_view item) override {
    done += steps;
    if (item == stop_at) throw Interrupted();
  }
  void end() override { ended = true; }
  std::string job, stop_at;
  int64_t total = 0, done = 0;
  bool ended = false;
};

TEST(OpenModel, ProgressCountsEveryTensor) {
  for (const char* name : {"llama", "llama_nf4", "llama_int8", "qwen2"}) {
    Steps steps;
    OpenOptions options;
    options.progress = &steps;
    const RunningModel running(golden_model(name), "reference", options);
    EXPECT_EQ(steps.job, "loading");
    EXPECT_EQ(steps.done, steps.total) << name;
    EXPECT_TRUE(steps.ended);
  }
}

TEST(OpenModel, CanBeInterrupted) {
  Steps steps;
  steps.stop_at = "model.layers.1.mlp.up_proj.weight";
  OpenOptions options = quantized(false);
  options.progress = &steps;
  EXPECT_THROW(RunningModel(golden_model("llama"), "reference", options), Interrupted);
  EXPECT_EQ(steps.job, "quantizing");
}

TEST(MakeModel, RecordsTheStructureWithoutWeights) {
  const ModelConfig config = ModelConfig::load(golden_model("qwen2"));
  const WeightLoader recorder;
  make_model(config, recorder);
  const RunningModel running(golden_model("qwen2"));
  ASSERT_EQ(recorder.modules().size(), running.opened.modules.size());
  for (size_t i = 0; i < recorder.modules().size(); ++i) {
    const ModuleInfo& recorded = recorder.modules()[i];
    const ModuleInfo& loaded = running.opened.modules[i];
    EXPECT_EQ(recorded.name, loaded.name);
    EXPECT_EQ(recorded.rows, loaded.rows);
    EXPECT_EQ(recorded.cols, loaded.cols);
    EXPECT_EQ(recorded.bias, loaded.bias);
    EXPECT_EQ(recorded.tied_to, loaded.tied_to);
  }
  EXPECT_EQ(recorder.modules()[2].name, "model.layers.0.self_attn.q_proj");
  EXPECT_TRUE(recorder.modules()[2].bias);
}

}  // namespace
}  // namespace nibble::testing
