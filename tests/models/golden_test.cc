// SPDX-License-Identifier: Apache-2.0
//
// Tiny models of every supported kind against what transformers computed with them
// (tests/golden/make_model_golden.py), on every backend.
#include <gtest/gtest.h>

#include <tuple>

#include "nibble/backend/registry.h"
#include "nibble/io/json_file.h"
#include "nibble/nn/skip_modules.h"
#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

// Logits reach 27, and float32 rounding anywhere in the network moves them: those of transformers
// are up to 1.5e-5 from its own in float64, and other orders of summation err as much again.
constexpr double kFloatTolerance = 4e-5;

// Their rotary frequencies do not depend on the length of the sequence.
const std::vector<std::string> kStatic = {"llama",      "llama_llama3", "llama_linear",
                                          "llama_yarn", "llama_bias",   "mistral",
                                          "qwen2",      "qwen3"};

std::vector<std::string> all_plain() {
  std::vector<std::string> names = kStatic;
  names.push_back("llama_dynamic");
  return names;
}

class GoldenModel : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  const std::string model_ = std::get<0>(GetParam());
  const std::string backend_ = std::get<1>(GetParam());
};

std::string test_name(const ::testing::TestParamInfo<std::tuple<std::string, std::string>>& info) {
  return std::get<0>(info.param) + "_" + std::get<1>(info.param);
}

std::vector<int32_t> greedy(const RunningModel& running, std::vector<int32_t> prompt,
                            size_t new_tokens, bool use_cache) {
  KvCache cache = running.model().new_cache();
  int64_t sequence = cache.add_sequence();
  std::vector<int32_t> all = prompt, next = prompt, made;
  while (made.size() < new_tokens) {
    made.push_back(argmax(running.run(cache, sequence, next, LogitsOf::kLastOfSlices)));
    all.push_back(made.back());
    if (use_cache) {
      next = {made.back()};
    } else {
      cache.drop(sequence);
      sequence = cache.add_sequence();
      next = all;
    }
  }
  return made;
}

TEST_P(GoldenModel, LogitsEqualTransformers) {
  const RunningModel running(golden_model(model_), backend_);
  EXPECT_TRUE(running.opened.warnings.empty());
  KvCache cache = running.model().new_cache();
  const auto logits = running.run(cache, cache.add_sequence(), expected_ids(model_, "ids"));
  const Tensor expected = expected_tensor(model_, "logits");
  EXPECT_LE(max_difference(logits, expected.data<float>()), kFloatTolerance);
}

TEST_P(GoldenModel, GreedyIdsEqualTransformers) {
  const RunningModel running(golden_model(model_), backend_);
  std::vector<int32_t> prompt = expected_ids(model_, "ids");
  prompt.resize(9);
  const auto with_cache = expected_ids(model_, "greedy_cache");
  EXPECT_EQ(greedy(running, prompt, with_cache.size(), true), with_cache);
  const auto without = expected_ids(model_, "greedy_no_cache");
  EXPECT_EQ(greedy(running, prompt, without.size(), false), without);
}

// transformers pads the shorter prompt on the left; here the batch is ragged. Dynamic frequencies
// cannot be compared: there all rows share those of the longest, here each has its own.
class GoldenModelBatch : public GoldenModel {};

TEST_P(GoldenModelBatch, OfTwoLengthsEqualsPaddedTransformers) {
  const RunningModel running(golden_model(model_), backend_);
  std::vector<int32_t> prompt = expected_ids(model_, "ids");
  prompt.resize(9);
  const auto expected = expected_ids(model_, "greedy_batch");  // [2, new tokens]
  KvCache cache = running.model().new_cache();
  TokenBatch batch;
  batch.add(cache.add_sequence(), prompt);
  batch.add(cache.add_sequence(), {prompt.begin() + 4, prompt.end()});
  const size_t steps = expected.size() / 2;
  const auto vocab = running.model().config().vocab_size;
  for (size_t step = 0; step < steps; ++step) {
    const auto logits = running.run(cache, batch, LogitsOf::kLastOfSlices);
    const int32_t first = argmax({logits.begin(), logits.begin() + vocab});
    const int32_t second = argmax({logits.begin() + vocab, logits.end()});
    EXPECT_EQ(first, expected[step]);
    EXPECT_EQ(second, expected[steps + step]);
    batch = {};
    batch.add(0, {first});
    batch.add(1, {second});
  }
}

TEST_P(GoldenModel, StepByStepEqualsAtOnce) {
  const RunningModel running(golden_model(model_), backend_);
  std::vector<int32_t> ids = expected_ids(model_, "ids");
  // Dynamic frequencies change with the length once it exceeds 16; keys in the cache keep theirs.
  if (model_ == "llama_dynamic") ids.resize(16);
  KvCache cache = running.model().new_cache();
  const auto at_once = running.run(cache, cache.add_sequence(), ids);
  const int64_t sequence = cache.add_sequence();
  std::vector<float> steps;
  for (const int32_t id : ids) {
    for (const float x : running.run(cache, sequence, {id})) steps.push_back(x);
  }
  EXPECT_LE(max_difference(steps, at_once), kFloatTolerance);
}

TEST_P(GoldenModel, FootprintAndSkippedModulesEqualTransformers) {
  const RunningModel running(golden_model(model_), backend_);
  const auto expected = read_json_file(golden_model(model_) / "expected.json");
  EXPECT_EQ(running.opened.memory_footprint, expected["parameter_bytes"].get<int64_t>());
  EXPECT_EQ(automatic_skip_modules(names_of(running.opened.modules), HfRelease::kV5),
            expected["skip_modules"].get<std::vector<std::string>>());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel,
                         ::testing::Combine(::testing::ValuesIn(all_plain()),
                                            ::testing::ValuesIn(backend_names())),
                         test_name);
INSTANTIATE_TEST_SUITE_P(All, GoldenModelBatch,
                         ::testing::Combine(::testing::ValuesIn(kStatic),
                                            ::testing::ValuesIn(backend_names())),
                         test_name);

// Checkpoints that transformers quantized with bitsandbytes and saved.
class QuantizedGoldenModel : public GoldenModel {};

TEST_P(QuantizedGoldenModel, LogitsEqualTransformers) {
  const RunningModel running(golden_model(model_), backend_);
  EXPECT_TRUE(running.opened.warnings.empty());
  KvCache cache = running.model().new_cache();
  const auto logits = running.run(cache, cache.add_sequence(), expected_ids(model_, "ids"));
  const Tensor expected = expected_tensor(model_, "logits");
  EXPECT_LE(max_difference(logits, expected.data<float>()), kFloatTolerance);
}

TEST_P(QuantizedGoldenModel, FootprintEqualsTransformers) {
  const RunningModel running(golden_model(model_), backend_);
  const auto expected = read_json_file(golden_model(model_) / "expected.json");
  EXPECT_EQ(running.opened.memory_footprint, expected["parameter_bytes"].get<int64_t>());
  for (const ModuleInfo& module : running.opened.modules) {
    const bool convertible = module.kind == ModuleInfo::Kind::kLinear && module.name != "lm_head";
    EXPECT_EQ(module.quantizable, convertible) << module.name;
  }
}

// The codes that quantizing on load makes are those in the file, except double quantization's mean,
// whose last bits depend on the order of summation.
TEST_P(QuantizedGoldenModel, QuantizingOnLoadGivesTheSame) {
  BitsAndBytesConfig config;
  config.load_in_8bit = model_ == "llama_int8";
  config.load_in_4bit = !config.load_in_8bit;
  config.bnb_4bit_quant_type = model_ == "llama_fp4" ? "fp4" : "nf4";
  config.bnb_4bit_use_double_quant = model_ == "llama_nf4";
  OpenOptions options;
  options.quantization = config;
  const RunningModel packed(golden_model(model_), backend_);
  const RunningModel plain(golden_model("llama"), backend_, options);
  EXPECT_TRUE(plain.opened.warnings.empty());
  EXPECT_EQ(plain.opened.memory_footprint, packed.opened.memory_footprint);
  const auto ids = expected_ids(model_, "ids");
  KvCache cache = packed.model().new_cache();
  const auto from_file = packed.run(cache, cache.add_sequence(), ids);
  const auto on_load = plain.run(cache, cache.add_sequence(), ids);
  EXPECT_LE(max_difference(on_load, from_file), kFloatTolerance);
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedGoldenModel,
                         ::testing::Combine(::testing::Values("llama_nf4", "llama_fp4",
                                                              "llama_int8"),
                                            ::testing::ValuesIn(backend_names())),
                         test_name);

}  // namespace
}  // namespace nibble::testing
