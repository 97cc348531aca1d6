// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/quantize_model.h"

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/convert/conversion.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/tied_weights.h"
#include "nibble/io/json_file.h"
#include "nibble/io/page_advice.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/quant/registry.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A model folder as both directions read it.
struct Source {
  explicit Source(const fs::path& folder)
      : config_json(read_json_file(folder / "config.json")),
        config(ModelConfig::load(folder)),
        checkpoint(Checkpoint::open(folder)),
        repeated(repeated_weights(checkpoint, config_json)) {}

  std::string config_file() const { return (checkpoint.folder() / "config.json").string(); }
  bool is_quantized() const { return names_quantization(checkpoint.folder(), config.quantization); }
  std::string quantization_file() const {
    return nibble::quantization_file(checkpoint.folder(), config.quantization).string();
  }

  Json config_json;
  ModelConfig config;
  Checkpoint checkpoint;
  std::map<std::string, std::string> repeated;  // names to leave out
};

ConversionReport finish(Conversion& conversion, const Source& source) {
  conversion.writer().add_file("config.json", format_json(source.config_json));
  copy_companions(source.checkpoint.folder(), conversion.writer());
  return conversion.commit();
}

// `module`.weight of a plain model in the dtype `held`, checked against the shape that the config
// asks for.
Tensor dense_weight(const Checkpoint& checkpoint, const ModuleInfo& module, DType held) {
  const std::string name = module.name + ".weight";
  Tensor tensor = checkpoint.tensor(name);
  if (tensor.shape() != Shape{module.rows, module.cols}) {
    throw Error("wrong shape")
        .file(checkpoint.file_of(name))
        .tensor(name)
        .expected(to_string(Shape{module.rows, module.cols}))
        .got(to_string(tensor.shape()));
  }
  return is_float(tensor.dtype()) ? to_dtype(tensor, held) : tensor;
}

}  // namespace

ConversionReport quantize_model(const fs::path& source_folder, const fs::path& destination,
                                const Scheme& scheme, ThreadPool& pool,
                                CheckpointWriterOptions writer_options, Progress* progress) {
  Conversion conversion(destination,
                        {{"command", "quantize"}, {"scheme", scheme.config_json().dump()}}, pool,
                        std::move(writer_options), progress);
  Source source(source_folder);
  const Checkpoint& checkpoint = source.checkpoint;
  if (source.is_quantized()) {
    throw Error("the model is quantized already")
        .file(source.quantization_file())
        .hint("run `nibble dequantize` first, or start from the original model");
  }
  // transformers loads a model in the dtype of its config before it quantizes. Under one that no
  // model is held in here the other tensors stay as they are.
  const DType plain =
      dtype_in_config(source.config_json, source.config_file()).value_or(main_dtype(checkpoint));
  const DType held = is_held(plain) ? plain : DType::kF32;
  LoadOptions options;
  options.quantize_with = &scheme;
  options.skip_modules = scheme.skip_modules();
  std::map<std::string, ModuleInfo> to_quantize;  // by the name of the weight
  ConversionReport& report = conversion.report();
  for (const ModuleInfo& module : modules_of(source.config, options)) {
    if (module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty()) continue;
    if (module.quantizable) to_quantize.emplace(module.name + ".weight", module);
    if (!checkpoint.contains(module.name + ".weight"))
      dense_weight(checkpoint, module, held);  // throws
    ++(module.quantizable ? report.modules_converted : report.modules_kept);
  }

  conversion.describe_source(checkpoint);
  conversion.start("quantizing", checkpoint.total_bytes());
  for (const std::string& name : checkpoint.names()) {
    conversion.step(name, checkpoint.info(name).nbytes, [&] {
      const auto found = to_quantize.find(name);
      if (found == to_quantize.end()) {
        if (source.repeated.contains(name)) return;
        const Tensor tensor = checkpoint.tensor(name);
        const bool cast = is_held(plain) && is_float(tensor.dtype()) && !is_old_buffer(name);
        conversion.write_cast(name, tensor, cast ? plain : tensor.dtype());
        return;
      }
      const Tensor stored = checkpoint.tensor(name);
      prefetch_pages(stored);
      const Tensor dense = dense_weight(checkpoint, found->second, held);
      Weight packed;
      try {
        packed = scheme.quantize(dense, pool);
      } catch (Error& error) {
        throw error.file(checkpoint.file_of(name)).tensor(name);
      }
      drop_pages(stored);
      for (const NamedTensor& part : scheme.save(packed, found->second.name)) {
        conversion.write(part.name, part.tensor);
      }
    });
  }
  Json& config = source.config_json;
  if (!dtype_in_config(config, source.config_file())) set_dtype_in_config(config, plain);
  config["quantization_config"] = scheme.config_json();
  return finish(conversion, source);
}

ConversionReport dequantize_model(const fs::path& source_folder, const fs::path& destination,
                                  std::optional<DType> dtype, ThreadPool& pool,
                                  CheckpointWriterOptions writer_options, Progress* progress) {
  Conversion conversion(
      destination,
      {{"command", "dequantize"}, {"dtype", dtype ? std::string(torch_name(*dtype)) : "unchanged"}},
      pool, std::move(writer_options), progress);
  Source source(source_folder);
  const Checkpoint& checkpoint = source.checkpoint;
  if (!source.is_quantized()) {
    throw Error("the model is not quantized: it has no quantization_config")
        .file(source.config_file());
  }
  const std::unique_ptr<Scheme> scheme =
      make_scheme(*find_quantization_config(source_folder, source.config.quantization),
                  source.quantization_file());
  std::map<std::string, ModuleInfo> packed;  // by module name
  ConversionReport& report = conversion.report();
  for (const ModuleInfo& module : modules_of(source.config)) {
    if (module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty()) continue;
    const bool convert = scheme->is_packed(checkpoint, module.name);
    if (convert) packed.emplace(module.name, module);
    ++(convert ? report.modules_converted : report.modules_kept);
  }
  // Null for a tensor of no packed module.
  const auto module_of = [&](const std::string& tensor) -> const ModuleInfo* {
    for (size_t dot = tensor.find('.'); dot != std::string::npos; dot = tensor.find('.', dot + 1)) {
      const auto found = packed.find(tensor.substr(0, dot));
      if (found != packed.end()) return &found->second;
    }
    return nullptr;
  };

  const DType plain = dtype.value_or(
      dtype_in_config(source.config_json, source.config_file()).value_or(main_dtype(checkpoint)));
  conversion.describe_source(checkpoint);
  conversion.start("dequantizing", checkpoint.total_bytes());
  for (const std::string& name : checkpoint.names()) {
    conversion.step(name, checkpoint.info(name).nbytes, [&] {
      if (source.repeated.contains(name)) return;
      const ModuleInfo* module = module_of(name);
      if (module && name == module->name + ".weight") {
        const Tensor codes = checkpoint.tensor(name);
        prefetch_pages(codes);
        const Weight weight = scheme->load(checkpoint, module->name, module->rows, module->cols);
        conversion.write_decoded(name, weight, plain);
        drop_pages(codes);
      } else if (!module || name == module->name + ".bias") {
        const Tensor tensor = checkpoint.tensor(name);
        const bool cast = dtype && is_float(tensor.dtype());
        conversion.write_cast(name, tensor, cast ? *dtype : tensor.dtype());
      }  // else a side tensor of the packing, which goes with it
    });
  }
  source.config_json.erase("quantization_config");
  set_dtype_in_config(source.config_json, plain);
  return finish(conversion, source);
}

}  // namespace nibble
