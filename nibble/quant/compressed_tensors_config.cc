// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/compressed_tensors_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/quant/config_fields.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFloatQuantized = "float-quantized";
constexpr std::string_view kExpressionMark = "re:";

// What files in this format may be, and these are not.
[[noreturn]] void refuse_kind(const std::string& file, std::string got) {
  throw Error("this kind of compressed-tensors is not read here")
      .file(file)
      .expected("float-quantized: symmetric floats of 8 bits per channel, tensor or block")
      .got(std::move(got));
}

// "dense" and an empty object are how nothing is said.
bool says_something(const Json* value) {
  if (value == nullptr || value->is_null() || value->empty()) return false;
  const auto format = value->is_object() ? value->find("format") : value->end();
  return format == value->end() || *format != "dense";
}

// The one group of modules that there is.
std::string only_group(ConfigFields& fields) {
  const Json* groups = fields.value("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty()) {
    throw fields.bad("config_groups", "an object with a group of modules");
  }
  if (groups->size() > 1) {
    refuse_kind(fields.file(), fmt::format("{} groups of modules", groups->size()));
  }
  return groups->begin().key();
}

Fp8BlockSize read_block_structure(const ConfigFields& weights, const Json& value) {
  const auto is_size = [](const Json& size) {
    return size.is_number_integer() && size.get<int64_t>() > 0;
  };
  if (!value.is_array() || value.size() != 2 || !std::ranges::all_of(value, is_size)) {
    throw weights.bad("block_structure", "two positive numbers");
  }
  return {value[0].get<int64_t>(), value[1].get<int64_t>()};
}

void read_weights(ConfigFields weights, CompressedTensorsConfig& config) {
  int64_t num_bits = 8;
  std::string type = "int";
  std::optional<std::string> strategy;
  bool symmetric = true;
  weights.read("num_bits", num_bits);
  weights.read("type", type);
  weights.read("strategy", strategy);
  weights.read("symmetric", symmetric);
  config.strategy = strategy.value_or("tensor");  // as the library has it
  const bool known =
      config.strategy == "channel" || config.strategy == "tensor" || config.strategy == "block";
  if (num_bits != 8 || type != "float" || !symmetric || !known) {
    refuse_kind(weights.file(),
                fmt::format("{}{} of {} bits per {}", symmetric ? "" : "asymmetric ", type,
                            num_bits, config.strategy));
  }
  if (config.strategy != "block") return;
  const Json* structure = weights.value("block_structure");
  config.block_structure = read_block_structure(weights, structure ? *structure : Json());
}

}  // namespace

// As llm-compressor's FP8_DYNAMIC has it.
Json CompressedTensorsConfig::per_token() {
  return {{"dynamic", true},
          {"num_bits", 8},
          {"strategy", "token"},
          {"symmetric", true},
          {"type", "float"}};
}

CompressedTensorsConfig CompressedTensorsConfig::from_json(const Json& object,
                                                           const std::string& file) {
  ConfigFields fields(object, file);
  CompressedTensorsConfig config;
  const std::string name = only_group(fields);
  ConfigFields group = fields.inside("config_groups").inside(name.c_str());

  std::optional<std::string> format;
  fields.read("format", format);
  group.read("format", format);
  if (format && *format != kFloatQuantized && *format != "naive-quantized") {
    refuse_kind(file, *format);
  }
  std::optional<std::vector<std::string>> targets;
  group.read("targets", targets);
  if (targets != std::vector<std::string>{"Linear"}) {
    throw group.bad("targets", "[\"Linear\"], which is all that is read here");
  }
  if (!group.has("weights")) refuse_kind(file, "a group without weights");
  read_weights(group.inside("weights"), config);
  const Json* activations = group.value("input_activations");
  config.input_activations = activations ? *activations : Json();
  for (const char* key : {"sparsity_config", "transform_config"}) {
    if (says_something(fields.value(key))) refuse_kind(file, fmt::format("a '{}'", key));
  }
  fields.read("ignore", config.ignore);
  if (!config.ignore) config.ignore.emplace();
  if (says_something(fields.value("kv_cache_scheme"))) {
    config.notes.emplace_back(
        "quantization_config: the KV cache is not quantized as 'kv_cache_scheme' says");
  }
  fields.ignore({"quant_method", "quantization_status", "global_compression_ratio", "version",
                 "run_compressed", "dequantize"});
  for (std::string& note : notes_on_unknown(fields.unknown())) {
    config.notes.push_back(std::move(note));
  }
  return config;
}

Json CompressedTensorsConfig::to_json() const {
  Json weights = {{"dynamic", false},
                  {"num_bits", 8},
                  {"strategy", strategy},
                  {"symmetric", true},
                  {"type", "float"}};
  if (strategy == "block")
    weights["block_structure"] = {block_structure.rows, block_structure.cols};
  const Json group = {{"format", kFloatQuantized},
                      {"input_activations", input_activations},
                      {"output_activations", nullptr},
                      {"targets", {"Linear"}},
                      {"weights", std::move(weights)}};
  return {{"config_groups", {{"group_0", group}}},
          {"format", kFloatQuantized},
          {"ignore", ignore.value_or(std::vector<std::string>{"lm_head"})},
          {"kv_cache_scheme", nullptr},
          {"quant_method", kMethod},
          {"quantization_status", "compressed"}};
}

QuantizationFacts CompressedTensorsConfig::facts() const {
  QuantizationFacts facts;
  facts.method = kMethod;
  facts.scheme = Fp8Config::kMethod;
  facts.format = kFloatQuantized;
  facts.bits = 8;
  facts.skip_list = QuantizationFacts::SkipList::kReplacesAutomatic;
  facts.skip_modules = skip_expressions();
  return facts;
}

// weight [rows, cols] of 8 bits and weight_scale, as a rule bfloat16: both parameters.
PackedSize CompressedTensorsConfig::packed_size(int64_t rows, int64_t cols) const {
  const Fp8BlockSize block = block_of(rows, cols);
  const int64_t scales = block_count(rows, block.rows) * block_count(cols, block.cols);
  PackedSize size;
  size.bytes = rows * cols + 2 * scales;
  size.parameters = rows * cols + scales;
  return size;
}

Fp8BlockSize CompressedTensorsConfig::block_of(int64_t rows, int64_t cols) const {
  if (strategy == "block") return block_structure;
  return {strategy == "channel" ? 1 : std::max<int64_t>(1, rows), std::max<int64_t>(1, cols)};
}

// SkipMatcher asks for the end of a component behind an expression, the library for none.
std::optional<std::vector<std::string>> CompressedTensorsConfig::skip_expressions() const {
  if (!ignore) return std::nullopt;
  std::vector<std::string> expressions;
  for (const std::string& entry : *ignore) {
    expressions.push_back(entry.starts_with(kExpressionMark)
                              ? fmt::format("(?:{}).*", entry.substr(kExpressionMark.size()))
                              : fmt::format("{}$", entry));
  }
  return expressions;
}

}  // namespace nibble
