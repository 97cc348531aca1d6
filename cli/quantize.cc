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
#include "cli/options.h"
#include "cli/output.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

constexpr std::array<const char*, 3> kSchemes = {"nf4", "fp4", "int8"};

struct QuantizeOptions {
  std::string source, destination, scheme;
  bool double_quant = false;
  std::optional<int64_t> block_size;
  std::optional<float> threshold;
  std::optional<std::vector<std::string>> skip_modules;
  std::string compute_dtype, quant_storage;
  OutputOptions output;
  CommonOptions common;
};

BitsAndBytesConfig bnb_config(const QuantizeOptions& options) {
  if (std::find(kSchemes.begin(), kSchemes.end(), options.scheme) == kSchemes.end()) {
    throw UsageError(fmt::format("--scheme: there is no '{}'; this version has {}", options.scheme,
                                 fmt::join(kSchemes, ", ")));
  }
  const bool four_bits = options.scheme != "int8";
  const auto only_for = [&](bool given, const char* option, bool fits) {
    if (given && !fits) {
      throw UsageError(fmt::format("{} does not go with --scheme {}", option, options.scheme));
    }
  };
  only_for(options.double_quant, "--double-quant", four_bits);
  only_for(options.block_size.has_value(), "--block-size", four_bits);
  only_for(!options.compute_dtype.empty(), "--bnb-4bit-compute-dtype", four_bits);
  only_for(!options.quant_storage.empty(), "--bnb-4bit-quant-storage", four_bits);
  only_for(options.threshold.has_value(), "--llm-int8-threshold", !four_bits);

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
  try {
    config.validate();
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return config;
}

void quantize(const QuantizeOptions& options) {
  const std::unique_ptr<Scheme> scheme = make_scheme(bnb_config(options));
  const CheckpointWriterOptions writer = writer_options(options.output);
  const std::shared_ptr<ThreadPool> pool = make_pool(options.common);
  require_model_folder(options.source);
  run_conversion("quantized", options.destination, writer, options.common, [&](Progress* progress) {
    const ConversionReport report =
        quantize_model(options.source, options.destination, *scheme, *pool, writer, progress);
    if (report.modules_converted == 0) warn("no module was quantized");
    return report;
  });
}

}  // namespace

void add_quantize_command(CLI::App& app) {
  auto options = std::make_shared<QuantizeOptions>();
  CLI::App* command = app.add_subcommand("quantize", "Write a quantized copy of a model");
  command->footer(
      "\nnf4 and fp4 are bitsandbytes' 4-bit types, int8 is LLM.int8(). Linear layers are "
      "quantized,\n"
      "the output head and embeddings stay. transformers loads the result as it is.\n\n"
      "Examples:\n"
      "  nibble quantize model model-nf4 --scheme nf4 --double-quant\n"
      "  nibble quantize model model-int8 --scheme int8 --llm-int8-skip-modules "
      "lm_head,down_proj\n");
  command->add_option("source", options->source, "Model folder to read")->required();
  command->add_option("destination", options->destination, "Model folder to write")->required();
  command->add_option("--scheme", options->scheme, "nf4, fp4 or int8")->required();
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
  add_skip_modules_option(
      *command, options->skip_modules,
      "Modules to leave as they are, separated by commas (default: the output head)");
  add_output_options(*command, options->output);
  add_common_options(*command, options->common);
  command->callback([options] { quantize(*options); });
}

}  // namespace nibble::cli
