// SPDX-License-Identifier: Apache-2.0
//
// nibble quantize SRC DST --scheme S: a quantized model folder from a plain one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/budget.h"
#include "cli/calibration.h"
#include "cli/commands.h"
#include "cli/conversion_report.h"
#include "cli/options.h"
#include "cli/output.h"
#include "nibble/nibble.h"

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

struct QuantizeOptions {
  std::string source, destination, scheme;
  bool double_quant = false;
  std::optional<int64_t> block_size;
  std::optional<float> threshold;
  std::optional<std::vector<std::string>> skip_modules;
  std::string compute_dtype, quant_storage;
  std::optional<int64_t> bits, group_size;
  std::optional<bool> sym;
  std::string format;
  CalibrationArguments calibration;
  BudgetArguments budget;
  OutputOptions output;
  CommonOptions common;
};

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
  only_for(budget, "a budget", method == Method::kHqq);
  parse_budget(options.budget);  // throws
  if (budget && options.bits) throw UsageError("--bits does not go with a budget, which chooses");
  only_for(calibrated, "--calibration", gptq || method == Method::kAwq || budget);
  require_calibration(options.calibration);
  only_for(options.calibration.damp_percent.has_value(), "--damp-percent", gptq);
  only_for(options.calibration.desc_act, "--desc-act", gptq);
  only_for(options.calibration.static_groups, "--static-groups", gptq);
  only_for(options.calibration.parity, "--parity", gptq);
  only_for(!options.calibration.memory.empty(), "--calibration-memory", !budget);
  if (calibrated && options.format == "marlin") {
    throw UsageError(
        fmt::format("--calibration does not go with --format marlin: quantize to {}, then convert "
                    "--to {}-marlin",
                    gptq ? "gptq" : "gemm with --sym", options.scheme));
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
  nlohmann::ordered_json object = {{"quant_method", Fp8Config::kMethod}};
  if (!options.format.empty()) object["fmt"] = options.format;
  if (options.skip_modules) object["modules_to_not_convert"] = *options.skip_modules;
  return read_quantization_config(object, "");
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

// Quantizes with the codes that calibration chooses.
ConversionReport quantize_calibrated(const QuantizeOptions& options,
                                     const std::shared_ptr<ThreadPool>& pool,
                                     const CheckpointWriterOptions& writer, Progress* progress,
                                     nlohmann::ordered_json& details) {
  require_writable_destination(options.destination, writer);  // before the long part
  const int64_t memory = calibration_memory(options.calibration);
  const CalibrationOptions how = calibration_options(options.calibration, options.common);
  const auto calibration =
      method_of(options.scheme) == Method::kAwq
          ? std::make_unique<ModelCalibration>(options.source, awq_config(options), how, pool)
          : std::make_unique<ModelCalibration>(options.source, gptq_config(options), how, pool);
  warn_of_plain(*calibration);
  std::vector<CalibratedModule> modules;
  CodeChoice choice{options.calibration.texts, calibration->modules(), calibration->blocks(), {}};
  choice.run = [&](const std::filesystem::path& folder, int64_t first_block,
                   const CodeChoice::Take& take) {
    const CalibrationSink sink = [&](int64_t block, Calibration&& codes) {
      take(block, {std::move(codes.weights), std::move(codes.tensors)});
    };
    modules = calibration->run({folder, first_block, memory}, sink, progress);
  };
  const ConversionReport report =
      quantize_model(options.source, options.destination, *make_scheme(calibration->config(), ""),
                     *pool, writer, progress, &choice);
  report_calibration(modules, options.common);
  details = {{"calibration", calibration_json(modules, calibration->plain())}};
  return report;
}

void warn_of_misfits(const ConversionReport& report) {
  if (report.misfits.empty()) return;
  warn(fmt::format("{} of {} modules stay plain for their shape ({})", report.misfits.size(),
                   report.modules_converted + report.modules_kept, report.misfit));
}

// Measures, then quantizes each module with the bits that it is worth.
ConversionReport quantize_mixed(const QuantizeOptions& options,
                                const std::shared_ptr<ThreadPool>& pool,
                                const CheckpointWriterOptions& writer, Progress* progress,
                                nlohmann::ordered_json& details) {
  require_writable_destination(options.destination, writer);  // before the long part
  MixedPrecisionOptions how;
  how.group_size = options.group_size;
  how.skip_modules = options.skip_modules;
  how.budget = parse_budget(options.budget);
  if (!options.calibration.texts.empty()) {
    how.input_squares = measure_loss_sensitivity(
        options.source, calibration_options(options.calibration, options.common), pool, progress);
  }
  const PrecisionPlan plan = plan_precision(options.source, how, *pool, progress);
  report_plan(plan, options.common);
  details = {{"plan", plan_json(plan)}};
  const ModuleSchemes schemes = plan.schemes();
  return quantize_model(options.source, options.destination, plan.usual_scheme(), *pool, writer,
                        progress, nullptr, &schemes);
}

void quantize(const QuantizeOptions& options) {
  const std::unique_ptr<Scheme> scheme = scheme_of(options);
  const CheckpointWriterOptions writer = writer_options(options.output);
  const std::shared_ptr<ThreadPool> pool = make_pool(options.common);
  require_model_folder(options.source);
  nlohmann::ordered_json details;
  run_conversion(
      "quantized", options.destination, writer, options.common,
      [&](Progress* progress) {
        if (options.budget.given()) {
          return quantize_mixed(options, pool, writer, progress, details);
        }
        if (!options.calibration.texts.empty()) {
          return quantize_calibrated(options, pool, writer, progress, details);
        }
        const ConversionReport report =
            quantize_model(options.source, options.destination, *scheme, *pool, writer, progress);
        if (report.modules_converted == 0) warn("no module was quantized");
        warn_of_misfits(report);
        return report;
      },
      details);
}

}  // namespace

void add_quantize_command(CLI::App& app) {
  auto options = std::make_shared<QuantizeOptions>();
  CLI::App* command = app.add_subcommand("quantize", "Write a quantized copy of a model");
  command->footer(
      "\nnf4 and fp4 are bitsandbytes' 4-bit types, int8 is LLM.int8(). gptq and awq are the "
      "formats of\n"
      "these names, with codes rounded to nearest, or with --calibration by the method; rtn is\n"
      "another name of gptq; eetq is int8 with float activations, hqq rounds with the best zero,\n"
      "group-int8 is FastChat's int8 per group, fp8 floats of 8 bits with a scale per block of\n"
      "128 x 128, as DeepSeek and Qwen publish them. Linear layers are quantized, the output\n"
      "head and embeddings stay. transformers loads the result as it is, but for marlin of awq,\n"
      "group-int8 and e5m2 of fp8, which are nibble's own.\n\n"
      "Examples:\n"
      "  nibble quantize model model-nf4 --scheme nf4 --double-quant\n"
      "  nibble quantize model model-int8 --scheme int8 --llm-int8-skip-modules "
      "lm_head,down_proj\n"
      "  nibble quantize model model-gptq --scheme gptq --group-size 128 --calibration "
      "texts.jsonl\n"
      "  nibble quantize model model-awq --scheme awq --calibration texts.jsonl\n"
      "  nibble quantize model model-mixed --budget 3.7bpw --calibration texts.jsonl\n");
  command->add_option("source", options->source, "Model folder to read")->required();
  command->add_option("destination", options->destination, "Model folder to write")->required();
  command->add_option(
      "--scheme", options->scheme,
      "nf4, fp4, int8, gptq, awq, eetq, hqq, group-int8, fp8 or rtn; hqq is what a budget has");
  command->add_flag("--double-quant,--bnb-4bit-use-double-quant", options->double_quant,
                    "4 bits: quantize the scales too, 4.13 bits per weight instead of 4.5");
  command->add_option("--block-size", options->block_size,
                      "4 bits: weights per scale (default 64)");
  command->add_option("--bnb-4bit-compute-dtype", options->compute_dtype,
                      "4 bits: recorded for transformers (default float32)");
  command->add_option("--bnb-4bit-quant-storage", options->quant_storage,
                      "4 bits: dtype that the codes are declared as (default uint8)");
  command
      ->add_option("--llm-int8-threshold", options->threshold,
                   "int8: activations of this magnitude stay float (default 6)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--bits", options->bits, "gptq: 2, 3, 4 or 8, hqq: 1 to 8 but 7 (default 4)");
  command->add_option("--group-size", options->group_size,
                      "gptq, awq, hqq, group-int8: inputs that share a scale, -1 for a whole row "
                      "(default 128, hqq 64, group-int8 256)");
  command->add_flag_function(
      "--sym,!--no-sym", [options](int64_t count) { options->sym = count > 0; },
      "gptq, awq: zero is the middle code (default: gptq yes, awq no)");
  command->add_option(
      "--format", options->format,
      "gptq: gptq, gptq_v2 or marlin; awq: gemm, gemv, gemv_fast, llm-awq or marlin; fp8: e4m3 or "
      "e5m2");
  add_calibration_options(*command, options->calibration);
  add_budget_options(*command, options->budget);
  add_skip_modules_option(
      *command, options->skip_modules,
      "Modules to leave as they are, separated by commas (default: the output head)");
  add_output_options(*command, options->output);
  add_common_options(*command, options->common);
  command->callback([options] {
    if (options->scheme.empty()) {
      if (!options->budget.given()) throw UsageError("--scheme is required, or a --budget");
      options->scheme = "hqq";
    }
    quantize(*options);
  });
}

}  // namespace nibble::cli
