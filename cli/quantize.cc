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

#include "cli/commands.h"
#include "cli/conversion_report.h"
#include "cli/output.h"
#include "cli/quantize_scheme.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

// Quantizes with the codes that calibration chooses for the config.
template <typename Config>
ConversionReport quantize_calibrated(const QuantizeOptions& options, const Config& config,
                                     const std::shared_ptr<ThreadPool>& pool,
                                     const CheckpointWriterOptions& writer, Progress* progress,
                                     nlohmann::ordered_json& details) {
  require_writable_destination(options.destination, writer);  // before the long part
  const int64_t memory = calibration_memory(options.calibration);
  ModelCalibration calibration(options.source, config,
                               calibration_options(options.calibration, options.common), pool);
  warn_of_plain(calibration);
  std::vector<CalibratedModule> modules;
  CodeChoice choice{options.calibration.texts, calibration.modules(), calibration.blocks(), {}};
  choice.run = [&](const std::filesystem::path& folder, int64_t first_block,
                   const CodeChoice::Take& take) {
    const CalibrationSink sink = [&](int64_t block, Calibration&& codes) {
      take(block, {std::move(codes.weights), std::move(codes.tensors)});
    };
    modules = calibration.run({folder, first_block, memory}, sink, progress);
  };
  const ConversionReport report =
      quantize_model(options.source, options.destination, *make_scheme(calibration.config(), ""),
                     *pool, writer, progress, &choice);
  report_calibration(modules, options.common);
  details["calibration"] = calibration_json(modules, calibration.plain());
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
  const bool gptq = options.scheme != "hqq";
  if (gptq) how.gptq = gptq_config(options);
  if (!options.calibration.texts.empty()) {
    how.input_squares = measure_loss_sensitivity(
        options.source, calibration_options(options.calibration, options.common), pool, progress);
  }
  const PrecisionPlan plan = plan_precision(options.source, how, *pool, progress);
  report_plan(plan, options.common);
  details["plan"] = plan_json(plan);
  if (gptq && !options.calibration.texts.empty()) {
    const QuantizationConfig config = read_quantization_config(plan.scheme->config_json(), "");
    return quantize_calibrated(options, std::get<GptqConfig>(config), pool, writer, progress,
                               details);
  }
  const ModuleSchemes schemes = plan.schemes();
  return quantize_model(options.source, options.destination, *plan.scheme, *pool, writer, progress,
                        nullptr, &schemes);
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
          return options.scheme == "awq" ? quantize_calibrated(options, awq_config(options), pool,
                                                               writer, progress, details)
                                         : quantize_calibrated(options, gptq_config(options), pool,
                                                               writer, progress, details);
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
      "128 x 128, as DeepSeek and Qwen publish them, or with --format compressed-tensors per row. "
      "Linear layers are quantized, the output\n"
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
  command->add_option("--scheme", options->scheme,
                      "nf4, fp4, int8, gptq, awq, eetq, hqq, group-int8, fp8 or rtn; a budget has "
                      "hqq unless it is gptq");
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
      "gptq: gptq, gptq_v2 or marlin; awq: gemm, gemv, gemv_fast, llm-awq or marlin; fp8: e4m3, "
      "e5m2 or compressed-tensors");
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
