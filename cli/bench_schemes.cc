// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_schemes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace nibble::cli {
namespace {

std::string scheme_of_weight(const Weight& weight) {
  if (weight.layout() == Layout::kInt8Row) {
    return weight.activation_mode() == ActivationMode::kInt8 ? "llm.int8" : "int8";
  }
  if (weight.layout() == Layout::kDense) return "plain";
  const std::string mode = weight.activation_mode() == ActivationMode::kInt8 ? "-a8" : "";
  if (weight.layout() == Layout::kAffineGroup) {
    const AffineGroup& packed = weight.as_affine_group();
    return fmt::format("{}-bit g{}{}", packed.bits, packed.group_size, mode);
  }
  if (weight.layout() == Layout::kFloat8Block) return "fp8" + mode;
  const CodeBlock& packed = weight.as_code_block();
  const auto has_codebook = [&](QuantType type) {
    constexpr float kStep = 1.0f / 127;  // int8 activations round the values to such steps
    return std::ranges::equal(packed.codebook.data<float>(), codebook_of(type),
                              [](float a, float b) { return std::fabs(a - b) < kStep; });
  };
  const std::string type = has_codebook(QuantType::kNf4)   ? "nf4"
                           : has_codebook(QuantType::kFp4) ? "fp4"
                                                           : "4-bit";
  return (packed.nested ? type + "-dq" : type) + mode;
}

}  // namespace

std::vector<std::string> bench_scheme_names() {
  return {"plain", "int8", "llm.int8", "nf4", "nf4-dq", "fp4", "nf4-a8", "nf4-dq-a8", "fp4-a8"};
}

void add_scheme_option(CLI::App& command, std::vector<std::string>& schemes,
                       const std::string& description) {
  const std::vector<std::string> names = bench_scheme_names();
  CLI::Option* option = command
                            .add_option("--schemes", schemes,
                                        fmt::format("{}: {}", description, fmt::join(names, ", ")))
                            ->delimiter(',')
                            ->allow_extra_args(false)
                            ->check(CLI::IsMember(names));
  for (const char* other : {"--load-in-8bit", "--load-in-4bit", "--activation"}) {
    option->excludes(command.get_option(other));
  }
}

LoadingOptions with_scheme(const LoadingOptions& loading, const std::string& name) {
  LoadingOptions options = loading;
  options.bnb.load_in_8bit = name == "int8" || name == "llm.int8";
  if (name == "int8") options.activation = "float";
  if (name.ends_with("-a8")) options.activation = "int8";
  options.bnb.load_in_4bit = name.starts_with("nf4") || name.starts_with("fp4");
  options.bnb.bnb_4bit_quant_type = name.starts_with("fp4") ? "fp4" : "nf4";
  options.bnb.bnb_4bit_use_double_quant = name.starts_with("nf4-dq");
  return options;
}

std::string scheme_of(const Model& model) {
  std::string scheme = "plain";
  model.visit([&](const std::string&, const Linear& linear) {
    if (scheme == "plain") scheme = scheme_of_weight(linear.weight().weight());
  });
  return scheme;
}

}  // namespace nibble::cli
