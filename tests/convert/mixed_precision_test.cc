// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/mixed_precision.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "nibble/base/error.h"
#include "nibble/convert/inspect.h"
#include "nibble/io/json_file.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/registry.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

using testing::message_of;

// Columns are 64 and 96: all groups of 32 fit, of 64 some, of 128 none.
class MixedPrecisionTest : public ::testing::Test {
 protected:
  MixedPrecisionTest() { testing::TinyModel().write(source_); }

  PrecisionPlan plan(const PrecisionBudget& budget, InputSquares squares = {}) {
    MixedPrecisionOptions options;
    options.budget = budget;
    options.input_squares = std::move(squares);
    return plan_precision(source_, options, pool_);
  }
  PrecisionPlan plan_bits(double bits) { return plan({bits, std::nullopt}); }

  ConversionReport quantize(const PrecisionPlan& plan) {
    const ModuleSchemes schemes = plan.schemes();
    CheckpointWriterOptions writer;
    writer.overwrite = true;
    return quantize_model(source_, packed_, *plan.scheme, pool_, writer, nullptr, nullptr,
                          &schemes);
  }

  InputSquares inputs_of_ones() {
    InputSquares squares;
    for (const PlannedModule& module : plan_bits(16).modules) {
      const bool wide = module.name.ends_with("down_proj");
      squares.emplace(module.name, std::vector<double>(wide ? 96 : 64, 1.0));
    }
    return squares;
  }

  testing::ScratchFolder folder_;
  const fs::path source_ = folder_ / "plain", packed_ = folder_ / "packed";
  ThreadPool pool_{2};
};

TEST_F(MixedPrecisionTest, MeetsABudgetOfBitsFromBelow) {
  for (const double bits : {6.5, 7.0, 8.5, 10.0}) {
    const PrecisionPlan found = plan_bits(bits);
    EXPECT_LE(found.bits_per_weight(), bits);
    // What a module of a tiny model gains by one more step is no small part of the whole.
    EXPECT_GT(found.bits_per_weight(), bits - 0.5);
  }
}

TEST_F(MixedPrecisionTest, CountsWhatTheFolderHolds) {
  const PrecisionPlan found = plan_bits(7.5);
  std::set<int64_t> bits;
  for (const PlannedModule& module : found.modules) bits.insert(module.way().bits);
  ASSERT_GT(bits.size(), 1u);  // else it is not mixed
  const ConversionReport report = quantize(found);
  EXPECT_EQ(report.modules_converted, 14);
  EXPECT_EQ(report.bytes_after, found.total_bytes);
  const Inspection inspection = inspect_model(packed_, std::nullopt, pool_, nullptr);
  EXPECT_EQ(inspection.bytes, found.total_bytes);
  int64_t bytes = 0, codes = 0;
  for (const InspectedModule& module : inspection.modules) {
    if (module.scheme == "hqq") bytes += module.bytes;
  }
  EXPECT_EQ(bytes, found.module_bytes);
  const Checkpoint packed = Checkpoint::open(packed_);
  for (const std::string& name : packed.names()) {
    if (name.ends_with(".W_q")) codes += packed.info(name).nbytes;
  }
  int64_t plain = 0;
  for (const InspectedModule& module : inspection.modules) {
    if (module.scheme.empty()) plain += module.bytes;
  }
  const int64_t frequencies = 2 * 8 * 4;  // two buffers of half a head
  EXPECT_EQ(inspection.memory_footprint, codes + plain + frequencies);
}

TEST_F(MixedPrecisionTest, EveryModuleIsReadAsItWasWritten) {
  const PrecisionPlan found = plan_bits(7.5);
  quantize(found);
  const Checkpoint plain = Checkpoint::open(source_), packed = Checkpoint::open(packed_);
  for (const PlannedModule& module : found.modules) {
    const Tensor dense = plain.tensor(module.name + ".weight");
    // By a scheme of other bits: the module's own tensors say how it is stored.
    const Weight loaded =
        found.scheme->load(packed, module.name, dense.dim(0), dense.dim(1), pool_);
    const double share = weight_error(loaded, dense, {}, pool_) / weight_energy(dense, pool_);
    EXPECT_DOUBLE_EQ(share, module.choice().error) << module.name;
  }
  EXPECT_NO_THROW(open_model(packed_));
}

TEST_F(MixedPrecisionTest, MoreBudgetIsNeverWorse) {
  double last = std::numeric_limits<double>::infinity();
  for (double bits = 6.5; bits < 14; bits += 0.25) {
    const double error = plan_bits(bits).error;
    EXPECT_LE(error, last) << bits;
    last = error;
  }
}

TEST_F(MixedPrecisionTest, MemoryIsThatOfTheWholeFolder) {
  const int64_t all = plan_bits(16).total_bytes;
  const PrecisionPlan found = plan({std::nullopt, all * 9 / 10});
  EXPECT_LE(found.total_bytes, all * 9 / 10);
  EXPECT_EQ(quantize(found).bytes_after, found.total_bytes);
  // Of two budgets the smaller counts.
  EXPECT_EQ(plan({7.0, all}).module_bytes, plan_bits(7.0).module_bytes);
}

TEST_F(MixedPrecisionTest, LargeInputsGetMoreBits) {
  InputSquares squares = inputs_of_ones();
  const PrecisionPlan even = plan({7.5, std::nullopt}, squares);
  const std::string name = even.modules.back().name;
  for (double& square : squares.at(name)) square = 1e6;
  const PrecisionPlan found = plan({7.5, std::nullopt}, squares);
  EXPECT_EQ(found.modules.back().way().bits, 8);
  EXPECT_LT(even.modules.back().way().bits, 8);
  EXPECT_LE(found.bits_per_weight(), 7.5);
}

TEST_F(MixedPrecisionTest, SaysWhatABudgetHasToBe) {
  const std::string bits = message_of([&] { plan_bits(1.5); });
  EXPECT_NE(bits.find("at least"), std::string::npos) << bits;
  EXPECT_NE(bits.find("1.500 bits per weight"), std::string::npos) << bits;
  const std::string bytes = message_of([&] { plan({std::nullopt, 1000}); });
  EXPECT_NE(bytes.find("got 1000 bytes"), std::string::npos) << bytes;
  EXPECT_EQ(bytes.find('\n'), std::string::npos);
}

TEST_F(MixedPrecisionTest, ModulesThatAreSkippedStayPlain) {
  MixedPrecisionOptions options;
  options.budget.bits_per_weight = 8;
  options.skip_modules = {{"lm_head", "down_proj"}};
  const PrecisionPlan found = plan_precision(source_, options, pool_);
  EXPECT_EQ(found.modules.size(), 12u);
  const ConversionReport report = quantize(found);
  EXPECT_EQ(report.modules_converted, 12);
  EXPECT_EQ(report.bytes_after, found.total_bytes);
}

TEST_F(MixedPrecisionTest, AShapeWithoutGroupsIsNamed) {
  MixedPrecisionOptions options;
  options.budget.bits_per_weight = 8;
  options.group_size = 64;
  const std::string message = message_of([&] { plan_precision(source_, options, pool_); });
  EXPECT_NE(message.find("down_proj"), std::string::npos) << message;
}

// As MixedPrecisionTest, for files of GPTQ.
class MixedGptqTest : public MixedPrecisionTest {
 protected:
  static MixedPrecisionOptions options_of(double bits) {
    MixedPrecisionOptions options;
    options.budget.bits_per_weight = bits;
    options.gptq.emplace();
    options.gptq->format = "gptq";
    options.gptq->group_size = 32;
    return options;
  }
};

TEST_F(MixedGptqTest, TheConfigSaysWhichModulesHaveOtherBits) {
  const PrecisionPlan found = plan_precision(source_, options_of(5), pool_);
  EXPECT_LE(found.bits_per_weight(), 5);
  EXPECT_GT(found.bits_per_weight(), 4.5);
  std::set<int64_t> bits;
  for (const PlannedModule& module : found.modules) bits.insert(module.way().bits);
  ASSERT_GT(bits.size(), 1u);  // else it is not mixed
  const ConversionReport report = quantize(found);
  EXPECT_EQ(report.modules_converted, 14);
  EXPECT_EQ(report.bytes_after, found.total_bytes);
  const auto config = read_json_file(packed_ / "config.json").at("quantization_config");
  EXPECT_EQ(config.at("quant_method"), "gptq");
  EXPECT_FALSE(config.at("dynamic").empty());
  const Checkpoint plain = Checkpoint::open(source_), packed = Checkpoint::open(packed_);
  const auto scheme = make_scheme(config, "");
  for (const PlannedModule& module : found.modules) {
    const Tensor dense = plain.tensor(module.name + ".weight");
    const Weight loaded = scheme->load(packed, module.name, dense.dim(0), dense.dim(1), pool_);
    EXPECT_EQ(loaded.as_affine_group().bits, module.way().bits) << module.name;
    const double share = weight_error(loaded, dense, {}, pool_) / weight_energy(dense, pool_);
    EXPECT_DOUBLE_EQ(share, module.choice().error) << module.name;
  }
  EXPECT_NO_THROW(open_model(packed_));
}

TEST_F(MixedGptqTest, ModulesThatFillNoWordsStayPlain) {
  testing::TinyModel model;
  model.intermediate = 90;  // no multiple of four
  model.write(source_);
  const MixedPrecisionOptions options = options_of(9);
  const PrecisionPlan found = plan_precision(source_, options, pool_);
  EXPECT_EQ(found.modules.size(), 8u);
  EXPECT_EQ(found.plain.size(), 6u);
  const ConversionReport report = quantize(found);
  EXPECT_EQ(report.modules_converted, 8);
  EXPECT_EQ(report.bytes_after, found.total_bytes);
  const auto config = read_json_file(packed_ / "config.json").at("quantization_config");
  EXPECT_EQ(config.at("modules_in_block_to_quantize").at(0).size(), 4u);
  EXPECT_NO_THROW(open_model(packed_));
}

TEST_F(MixedGptqTest, AGroupSizeThatDoesNotDivideIsNamed) {
  MixedPrecisionOptions options = options_of(8);
  options.gptq->group_size = 64;
  const std::string message = message_of([&] { plan_precision(source_, options, pool_); });
  EXPECT_NE(message.find("down_proj"), std::string::npos) << message;
  EXPECT_NE(message.find("gptq has no groups for this matrix"), std::string::npos) << message;
}

}  // namespace
}  // namespace nibble
