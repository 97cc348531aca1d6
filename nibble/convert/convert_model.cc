// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/convert_model.h"

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/conversion.h"
#include "nibble/convert/gguf_import.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/tied_weights.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

ConversionReport rewrite_checkpoint(const fs::path& source, const fs::path& destination,
                                    std::optional<DType> dtype, ThreadPool& pool,
                                    CheckpointWriterOptions writer_options, Progress* progress) {
  Conversion conversion(
      destination,
      {{"command", "convert"}, {"dtype", dtype ? std::string(torch_name(*dtype)) : "unchanged"}},
      pool, std::move(writer_options), progress);
  const Checkpoint checkpoint = Checkpoint::open(source);
  const fs::path config_file = checkpoint.folder() / "config.json";
  nlohmann::ordered_json config;
  if (fs::exists(config_file)) config = read_json_file(config_file);
  if (dtype && config.contains("quantization_config")) {
    throw Error("the dtype of a quantized model cannot be changed")
        .file(config_file)
        .hint("run `nibble dequantize --dtype` first");
  }

  const std::map<std::string, std::string> dropped = repeated_weights(checkpoint, config);
  CheckpointWriterOptions& options = conversion.writer_options();
  // Nothing else would say which names a state dict without a config had (as save_model of
  // safetensors records it).
  if (config.is_null()) options.metadata.insert(dropped.begin(), dropped.end());
  if (!config.contains("quantization_config")) {
    options.total_parameters = count_parameters(checkpoint, dropped);
  }
  // As from_pretrained() holds a float16 model, and save_pretrained() then writes it.
  const std::optional<ModelOutline> outline =
      dtype == DType::kF16 ? known_outline(config) : std::nullopt;
  const auto dtype_of = [&](const std::string& name, DType stored) {
    if (!dtype || !is_float(stored)) return stored;
    return outline && outline->keeps_in_fp32(name) ? DType::kF32 : *dtype;
  };
  conversion.describe_source(checkpoint);
  conversion.start("converting", checkpoint.total_bytes());
  for (const std::string& name : checkpoint.names()) {
    conversion.step(name, checkpoint.info(name).nbytes, [&] {
      if (dropped.contains(name)) return;
      const Tensor tensor = checkpoint.tensor(name);
      conversion.write_cast(name, tensor, dtype_of(name, tensor.dtype()));
    });
  }
  if (config.is_object()) {
    if (dtype) set_dtype_in_config(config, *dtype);
    conversion.writer().add_file("config.json", format_json(config));
  }
  copy_companions(checkpoint.folder(), conversion.writer());
  return conversion.commit();
}

}  // namespace

bool is_gguf(const fs::path& path) { return path.extension() == ".gguf"; }

ConversionReport convert_model(const fs::path& source, const fs::path& destination,
                               std::optional<DType> dtype, ThreadPool& pool,
                               CheckpointWriterOptions writer_options, Progress* progress) {
  if (is_gguf(source)) {
    return import_gguf(source, destination, dtype, pool, std::move(writer_options), progress);
  }
  return rewrite_checkpoint(source, destination, dtype, pool, std::move(writer_options), progress);
}

}  // namespace nibble
