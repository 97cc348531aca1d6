// SPDX-License-Identifier: Apache-2.0
//
// nibble convert SRC DST: a Hugging Face folder from a GGUF file, from a pickled checkpoint,
// or from safetensors anew; and a quantized one in another packing.
#include <filesystem>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/conversion_report.h"
#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

struct ConvertOptions {
  std::string source, destination, dtype, packing;
  OutputOptions output;
  CommonOptions common;
};

void convert(const ConvertOptions& options) {
  const std::optional<DType> dtype = parse_dtype("--dtype", options.dtype);
  const CheckpointWriterOptions writer = writer_options(options.output);
  const std::shared_ptr<ThreadPool> pool = make_pool(options.common);
  if (!std::filesystem::exists(options.source)) {
    throw Error("no such file or folder").file(options.source);
  }
  if (!options.packing.empty()) {
    if (dtype) throw UsageError("--dtype does not go with --to: the numbers stay as they are");
    require_model_folder(options.source);
    return run_conversion("repacked", options.destination, writer, options.common,
                          [&](Progress* progress) {
                            return repack_model(options.source, options.destination,
                                                options.packing, *pool, writer, progress);
                          });
  }
  run_conversion("converted", options.destination, writer, options.common, [&](Progress* progress) {
    return convert_model(options.source, options.destination, dtype, *pool, writer, progress);
  });
}

}  // namespace

void add_convert_command(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = app.add_subcommand("convert", "Make a Hugging Face model folder");
  command->footer(
      "\nReads a GGUF file (llama, qwen2, qwen3; weights, tokenizer and chat template), a\n"
      "safetensors model, or pickled weights (pytorch_model.bin, .pt, .pth), which are parsed\n"
      "without running any code. The weights of a quantized GGUF come decoded, as bfloat16 unless\n"
      "--dtype says otherwise.\n\n"
      "With --to, a model quantized with GPTQ, AWQ, HQQ or group-int8 comes in another packing: "
      "the "
      "same\n"
      "codes, scales and zeros, or an error where the packing cannot hold them.\n\n"
      "Examples:\n"
      "  nibble convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2\n"
      "  nibble convert model model-f16 --dtype float16 --max-shard-size 2GB\n"
      "  nibble convert model-gptq model-awq --to awq-gemm\n");
  command
      ->add_option("source", options->source,
                   "Model folder, or a .gguf, .safetensors, .bin, .pt or .pth file")
      ->required();
  command->add_option("destination", options->destination, "Model folder to write")->required();
  command->add_option("--dtype", options->dtype,
                      "float32, float16 or bfloat16 for all weights (default: the source's)");
  command->add_option("--to", options->packing, "Packing of a quantized model")
      ->check(CLI::IsMember(packing_names()));
  add_output_options(*command, options->output);
  add_common_options(*command, options->common);
  command->callback([options] { convert(*options); });
}

}  // namespace nibble::cli
