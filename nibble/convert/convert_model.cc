// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/convert_model.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/gguf_import.h"
#include "nibble/convert/model_files.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

ConversionReport rewrite_safetensors(const fs::path& source, const fs::path& destination,
                                     std::optional<DType> dtype,
                                     CheckpointWriterOptions writer_options, Progress* progress) {
  const auto start = std::chrono::steady_clock::now();
  require_writable_destination(destination, writer_options.overwrite);
  const Checkpoint checkpoint = Checkpoint::open(source);
  const fs::path config_file = checkpoint.folder() / "config.json";
  nlohmann::ordered_json config;
  if (fs::exists(config_file)) config = read_json_file(config_file);
  if (dtype && config.contains("quantization_config")) {
    throw Error("the dtype of a quantized model cannot be changed")
        .file(config_file)
        .hint("run `nibble dequantize --dtype` first");
  }

  CheckpointWriter writer(destination, std::move(writer_options));
  if (progress) progress->begin("converting", static_cast<int64_t>(checkpoint.names().size()));
  ConversionReport report;
  report.bytes_before = checkpoint.total_bytes();
  for (const std::string& name : checkpoint.names()) {
    const Tensor tensor = checkpoint.tensor(name);
    const bool cast = dtype && is_float(tensor.dtype()) && tensor.dtype() != *dtype;
    writer.add(name, cast ? to_dtype(tensor, *dtype) : tensor);
    ++report.tensors;
    if (progress) progress->advance(1, name);
  }
  if (config.is_object()) {
    if (dtype) set_dtype_in_config(config, *dtype);
    writer.add_file("config.json", format_json(config));
  }
  copy_companions(checkpoint.folder(), writer);
  writer.commit();
  if (progress) progress->end();
  report.bytes_after = writer.bytes_written();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace

bool is_gguf(const fs::path& path) { return path.extension() == ".gguf"; }

ConversionReport convert_model(const fs::path& source, const fs::path& destination,
                               std::optional<DType> dtype, CheckpointWriterOptions writer_options,
                               Progress* progress) {
  if (is_gguf(source)) {
    return import_gguf(source, destination, dtype, std::move(writer_options), progress);
  }
  return rewrite_safetensors(source, destination, dtype, std::move(writer_options), progress);
}

}  // namespace nibble
