// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/convert_model.h"

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/gguf_import.h"
#include "nibble/convert/model_files.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// The names to leave out: of elements that a pickle names twice transformers writes the first name
// and ties the others again on loading, unless config.json says that they are not tied.
const std::map<std::string, std::string>& names_to_drop(const Checkpoint& checkpoint,
                                                        const nlohmann::ordered_json& config) {
  static const std::map<std::string, std::string> kNone;
  const auto ties = config.find("tie_word_embeddings");
  const bool untied = ties != config.end() && ties->is_boolean() && !ties->get<bool>();
  return untied ? kNone : checkpoint.aliases();
}

ConversionReport rewrite_checkpoint(const fs::path& source, const fs::path& destination,
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

  const std::map<std::string, std::string>& dropped = names_to_drop(checkpoint, config);
  // Nothing else would say which names a state dict without a config had (as save_model of
  // safetensors records it).
  if (config.is_null()) writer_options.metadata.insert(dropped.begin(), dropped.end());
  if (!config.contains("quantization_config")) {
    writer_options.total_parameters = count_parameters(checkpoint, dropped);
  }
  CheckpointWriter writer(destination, std::move(writer_options));
  if (progress) progress->begin("converting", static_cast<int64_t>(checkpoint.names().size()));
  ConversionReport report;
  report.bytes_before = checkpoint.total_bytes();
  for (const std::string& name : checkpoint.names()) {
    if (dropped.contains(name)) {
      if (progress) progress->advance(1, name);
      continue;
    }
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
  return rewrite_checkpoint(source, destination, dtype, std::move(writer_options), progress);
}

}  // namespace nibble
