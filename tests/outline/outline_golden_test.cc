// SPDX-License-Identifier: Apache-2.0
//
// Outlines against transformers, which built the same models on the meta device
// (tests/golden/make_outline_golden.py), under both releases.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"
#include "nibble/outline/conversion.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;
using Kind = OutlineModule::Kind;

std::string fnv1a(std::string_view text) {
  uint64_t value = 0xCBF29CE484222325u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return fmt::format("{:016x}", value);
}

std::string shape_text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// One line per parameter of its own, as the golden script prints them.
std::string parameter_lines(const ModelOutline& outline) {
  std::string lines;
  for (const OutlineModule& module : outline.modules) {
    if (module.kind == Kind::kBuffer) continue;
    const bool bare = module.kind == Kind::kParameter;
    if (module.tied_to.empty()) {
      lines += module.path + (bare ? " " : ".weight ") + shape_text(module.shape) + '\n';
    }
    if (module.bias > 0 && module.bias_tied_to.empty()) {
      lines += fmt::format("{}.bias [{}]\n", module.path, module.bias);
    }
  }
  return lines;
}

BitsAndBytesConfig bnb(int bits) {
  BitsAndBytesConfig config;
  config.load_in_8bit = bits == 8;
  config.load_in_4bit = bits == 4;
  config.bnb_4bit_quant_type = "nf4";
  return config;
}

struct Golden {
  HfRelease release;
  std::string name;
};

Json golden_file(HfRelease release) {
  return read_json_file(
      paths::golden(release == HfRelease::kV4 ? "outline_v4.json" : "outline_v5.json"));
}

std::vector<Golden> all_models() {
  std::vector<Golden> all;
  for (const HfRelease release : {HfRelease::kV4, HfRelease::kV5}) {
    const Json file = golden_file(release);
    for (const auto& [name, row] : file["models"].items()) all.push_back({release, name});
  }
  return all;
}

class OutlineGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(OutlineGolden, EqualsTransformers) {
  const auto& [release, name] = GetParam();
  const Json expected = golden_file(release)["models"][name];
  const ModelOutline outline = outline_of(expected["config"], "config.json", release);
  const std::string lines = parameter_lines(outline);
  EXPECT_EQ(fnv1a(lines), expected["names"].get<std::string>()) << lines.substr(0, 4000);
  EXPECT_EQ(automatic_skip_modules(outline.names(), release),
            expected["skip"].get<std::vector<std::string>>());

  const MeasuredModel plain = measure(outline, DType::kF16, nullptr, release);
  EXPECT_EQ(plain.parameters, expected["parameters"].get<int64_t>());
  EXPECT_EQ(plain.memory_footprint, expected["float16"].get<int64_t>());
  EXPECT_EQ(plain.converted_modules, 0);
  for (const int bits : {8, 4}) {
    const QuantizationConfig config = bnb(bits);
    const MeasuredModel packed = measure(outline, DType::kF16, &config, release);
    EXPECT_EQ(packed.converted_modules, expected["converted"].get<int64_t>());
    EXPECT_EQ(packed.parameters, expected[fmt::format("parameters_{}bit", bits)].get<int64_t>());
    EXPECT_EQ(packed.memory_footprint, expected[fmt::format("{}bit", bits)].get<int64_t>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, OutlineGolden, ::testing::ValuesIn(all_models()),
                         [](const auto& test) {
                           std::string name = test.param.release == HfRelease::kV4 ? "v4_" : "v5_";
                           for (const char c : test.param.name) {
                             name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           }
                           return name;
                         });

TEST(SkipLists, OfUsersLeaveAloneWhatTransformersDoes) {
  for (const HfRelease release : {HfRelease::kV4, HfRelease::kV5}) {
    const Json file = golden_file(release);
    for (const auto& [name, row] : file["lists"].items()) {
      SCOPED_TRACE(name + (release == HfRelease::kV4 ? " (4)" : " (5)"));
      const Json& config = file["models"][row["model"].get<std::string>()]["config"];
      const ModelOutline outline = outline_of(config, "config.json", release);
      BitsAndBytesConfig quantization = bnb(8);
      quantization.llm_int8_skip_modules = row["entries"].get<std::vector<std::string>>();
      const QuantizationConfig any = quantization;
      const MeasuredModel model = measure(outline, DType::kF16, &any, release);
      std::vector<std::string> converted;
      for (size_t i = 0; i < model.modules.size(); ++i) {
        if (model.modules[i].converted) converted.push_back(outline.modules[i].path);
      }
      EXPECT_EQ(model.converted_modules, row["converted"].get<int64_t>());
      EXPECT_EQ(fnv1a(fmt::format("{}", fmt::join(converted, "\n"))),
                row["names"].get<std::string>())
          << fmt::format("{}", fmt::join(converted, "\n")).substr(0, 2000);
    }
  }
}

}  // namespace
}  // namespace nibble
