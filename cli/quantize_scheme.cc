// SPDX-License-Identifier: Apache-2.0
#include "cli/quantize_scheme.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>

namespace nibble::cli {
namespace {

enum class Method : uint8_t { kBitsAndBytes, kGptq, kAwq, kEetq, kHqq, kGroupInt8, kFp8 };

struct NamedScheme {
  const char* name;
  Method method;
};

// "rtn", round to nearest, is what gptq does as long as no text is given to calibrate with.
constexpr std::array<NamedScheme, 10> kSchemes = {{{"nf4", Method::kBitsAndBytes},
                                                   {"fp4", Method::kBitsAndBytes},
                                                   {"int8", Method::kBitsAndBytes},
                                                   {"gptq", Method::kGptq},
                                                   {"awq", Method::kAwq},
                                                   {"eetq", Method::kEetq},
                                                   {"hqq", Method::kHqq},
                                                   {"group-int8", Method::kGroupInt8},
                                                   {"fp8", Method::kFp8},
                                                   {"rtn", Method::kGptq}}};

Method method_of(const std::string& scheme) {
  for (const NamedScheme& known : kSchemes) {
    if (scheme == known.name) return known.method;
  }
  std::vector<const char*> names;
  for (const NamedScheme& known : kSchemes) names.push_back(known.name);
  throw UsageError(fmt::format("--scheme: there is no '{}'; this version has {}", scheme,
                               fmt::join(names, ", ")));
}

void refuse_what_does_not_fit(const QuantizeOptions& options, Method method) {
  const bool bnb = method == Method::kBitsAndBytes, four_bits = bnb && options.scheme != "int8";
  const bool packed = method == Method::kGptq || method == Method::kAwq;
  const bool some_bits = packed || method == Method::kHqq;
  const bool groups = some_bits || method == Method::kGroupInt8;
  const auto only_for = [&](bool given, const char* option, bool fits) {
    if (given && !fits) {
      throw UsageError(fmt::format("{} does not go with --scheme {}", option, options.scheme));
    }
  };
  only_for(options.double_quant, "--double-quant", four_bits);
  only_for(options.block_size.has_value(), "--block-size", four_bits);
  only_for(!options.compute_dtype.empty(), "--bnb-4bit-compute-dtype", four_bits);
  only_for(!options.quant_storage.empty(), "--bnb-4bit-quant-storage", four_bits);
  only_for(options.threshold.has_value(), "--llm-int8-threshold", bnb && !four_bits);
  only_for(options.skip_modules.has_value(), "--llm-int8-skip-modules", method != Method::kGptq);
  only_for(options.bits.has_value(), "--bits", some_bits);
  only_for(options.group_size.has_value(), "--group-size", groups);
  only_for(options.sym.has_value(), options.sym.value_or(true) ? "--sym" : "--no-sym", packed);
  only_for(!options.format.empty(), "--format", packed || method == Method::kFp8);
  const bool calibrated = !options.calibration.texts.empty();
  const bool gptq = options.scheme == "gptq";
  const bool budget = options.budget.given();
  only_for(budget, "a budget", method == Method::kHqq || method == Method::kGptq);
  parse_budget(options.budget);  // throws
  if (budget && options.bits) throw UsageError("--bits does not go with a budget, which chooses");
  if (budget && options.format == "marlin") {
    throw UsageError("--format marlin does not go with a budget: it has 4 bits alone");
  }
  only_for(calibrated, "--calibration",
           gptq || method == Method::kAwq || (budget && method == Method::kHqq));
  require_calibration(options.calibration);
  only_for(options.calibration.damp_percent.has_value(), "--damp-percent", gptq);
  only_for(options.calibration.desc_act, "--desc-act", gptq);
  only_for(options.calibration.static_groups, "--static-groups", gptq);
  only_for(options.calibration.parity, "--parity", gptq);
  only_for(!options.calibration.memory.empty(), "--calibration-memory", !budget || gptq);
  if (options.calibration.desc_act && options.format == "marlin") {
    throw UsageError("--desc-act does not go with --format marlin, whose columns are in order");
  }
}

BitsAndBytesConfig bnb_config(const QuantizeOptions& options) {
  const bool four_bits = options.scheme != "int8";
  BitsAndBytesConfig config;
  config.load_in_4bit = four_bits;
  config.load_in_8bit = !four_bits;
  if (four_bits) config.bnb_4bit_quant_type = options.scheme;
  config.bnb_4bit_use_double_quant = options.double_quant;
  config.blocksize = options.block_size.value_or(config.blocksize);
  config.llm_int8_threshold = options.threshold.value_or(config.llm_int8_threshold);
  config.llm_int8_skip_modules = options.skip_modules;
  if (const auto dtype = parse_dtype("--bnb-4bit-compute-dtype", options.compute_dtype)) {
    config.bnb_4bit_compute_dtype = *dtype;
  }
  if (!options.quant_storage.empty()) {
    config.bnb_4bit_quant_storage = parse_storage_dtype(options.quant_storage);
  }
  config.validate();
  return config;
}

QuantizationConfig hqq_config(const QuantizeOptions& options) {
  nlohmann::ordered_json object = {{"quant_method", HqqConfig::kMethod},
                                   {"nbits", options.bits.value_or(4)},
                                   {"group_size", options.group_size.value_or(64)}};
  if (options.group_size == -1) object["group_size"] = nullptr;
  if (options.skip_modules) object["skip_modules"] = *options.skip_modules;
  return read_quantization_config(object, "");
}

QuantizationConfig group_int8_config(const QuantizeOptions& options) {
  GroupInt8Config config;
  config.group_size = options.group_size.value_or(config.group_size);
  config.modules_to_not_convert = options.skip_modules;
  return read_quantization_config(config.to_json(), "");
}

QuantizationConfig fp8_config(const QuantizeOptions& options) {
  if (options.format == CompressedTensorsConfig::kMethod) {
    CompressedTensorsConfig config;
    if (options.skip_modules) config.ignore.emplace();
    // Names are ends of paths here, and there whole paths or expressions.
    for (const std::string& name : options.skip_modules.value_or(std::vector<std::string>{})) {
      config.ignore->push_back(fmt::format("re:.*{}$", name));
    }
    return config;
  }
  nlohmann::ordered_json object = {{"quant_method", Fp8Config::kMethod}};
  if (!options.format.empty()) object["fmt"] = options.format;
  if (options.skip_modules) object["modules_to_not_convert"] = *options.skip_modules;
  return read_quantization_config(object, "");
}

}  // namespace

// Asymmetric zeros are stored as they are, which all readers of gptq_v2 understand alike.
GptqConfig gptq_config(const QuantizeOptions& options) {
  GptqConfig config;
  config.bits = options.bits.value_or(config.bits);
  config.group_size = options.group_size.value_or(config.group_size);
  config.sym = options.sym.value_or(true);
  config.format = !options.format.empty() ? options.format : config.sym ? "gptq" : "gptq_v2";
  config.damp_percent = options.calibration.damp_percent.value_or(config.damp_percent);
  config.desc_act = options.calibration.desc_act;
  config.static_groups = options.calibration.static_groups;
  config.act_group_aware = !config.desc_act && !options.calibration.parity;
  return GptqConfig::from_json(config.to_json(), "");
}

AwqConfig awq_config(const QuantizeOptions& options) {
  AwqConfig config;
  config.bits = options.bits.value_or(config.bits);
  config.group_size = options.group_size.value_or(config.group_size);
  config.zero_point = !options.sym.value_or(options.format == "marlin");
  config.modules_to_not_convert = options.skip_modules;
  config.format = options.format.empty() ? "gemm" : options.format;
  return AwqConfig::from_json(config.to_json(), "");
}

// Through the reader of config files, which checks what the user gave.
std::unique_ptr<Scheme> scheme_of(const QuantizeOptions& options) {
  const Method method = method_of(options.scheme);
  refuse_what_does_not_fit(options, method);
  try {
    switch (method) {
      case Method::kBitsAndBytes:
        return make_scheme(bnb_config(options));
      case Method::kGptq:
        return make_scheme(gptq_config(options), "");
      case Method::kAwq:
        return make_scheme(awq_config(options), "");
      case Method::kEetq: {
        EetqConfig config;
        config.modules_to_not_convert = options.skip_modules;
        return make_scheme(config, "");
      }
      case Method::kHqq:
        return make_scheme(hqq_config(options), "");
      case Method::kGroupInt8:
        return make_scheme(group_int8_config(options), "");
      case Method::kFp8:
        return make_scheme(fp8_config(options), "");
    }
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return nullptr;
}

}  // namespace nibble::cli
