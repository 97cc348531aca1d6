// SPDX-License-Identifier: Apache-2.0
//
// nibble dequantize SRC DST: plain weights from a quantized model folder.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/conversion_report.h"
#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

struct DequantizeOptions {
  std::string source, destination, dtype;
  OutputOptions output;
  CommonOptions common;
};

void dequantize(const DequantizeOptions& options) {
  const std::optional<DType> dtype = parse_dtype("--dtype", options.dtype);
  const CheckpointWriterOptions writer = writer_options(options.output);
  const std::shared_ptr<ThreadPool> pool = make_pool(options.common);
  require_model_folder(options.source);
  run_conversion("dequantized", options.destination, writer, options.common,
                 [&](Progress* progress) {
                   return dequantize_model(options.source, options.destination, dtype, *pool,
                                           writer, progress);
                 });
}

}  // namespace

void add_dequantize_command(CLI::App& app) {
  auto options = std::make_shared<DequantizeOptions>();
  CLI::App* command =
      app.add_subcommand("dequantize", "Write a quantized model with plain weights");
  command->footer(
      "\nThe weights keep the error of their quantization: this undoes the packing, not the "
      "loss.\n\n"
      "Examples:\n"
      "  nibble dequantize model-nf4 model-plain\n"
      "  nibble dequantize model-int8 model-f32 --dtype float32\n");
  command->add_option("source", options->source, "Quantized model folder to read")->required();
  command->add_option("destination", options->destination, "Model folder to write")->required();
  command->add_option("--dtype", options->dtype,
                      "float32, float16 or bfloat16 for all weights (default: the model's)");
  add_output_options(*command, options->output);
  add_common_options(*command, options->common);
  command->callback([options] { dequantize(*options); });
}

}  // namespace nibble::cli
