// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/quantize_model.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/convert/conversion.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/model_source.h"
#include "nibble/io/page_advice.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

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
                                CheckpointWriterOptions writer_options, Progress* progress,
                                const ChosenCodes* chosen) {
  Conversion conversion(destination,
                        {{"command", "quantize"}, {"scheme", scheme.config_json().dump()}}, pool,
                        std::move(writer_options), progress);
  ModelSource source(source_folder);
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
    const bool converts = module.quantizable && (!chosen || chosen->weights.contains(module.name));
    if (converts) to_quantize.emplace(module.name + ".weight", module);
    if (!checkpoint.contains(module.name + ".weight"))
      dense_weight(checkpoint, module, held);  // throws
    ++(converts ? report.modules_converted : report.modules_kept);
  }

  conversion.describe_source(checkpoint);
  if (chosen) conversion.describe_file(chosen->texts);
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
        packed = chosen ? chosen->weights.at(found->second.name) : scheme.quantize(dense, pool);
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
  return source.finish(conversion);
}

ConversionReport dequantize_model(const fs::path& source_folder, const fs::path& destination,
                                  std::optional<DType> dtype, ThreadPool& pool,
                                  CheckpointWriterOptions writer_options, Progress* progress) {
  Conversion conversion(
      destination,
      {{"command", "dequantize"}, {"dtype", dtype ? std::string(torch_name(*dtype)) : "unchanged"}},
      pool, std::move(writer_options), progress);
  ModelSource source(source_folder);
  const Checkpoint& checkpoint = source.checkpoint;
  const PackedModules packed(source, conversion.report());
  const DType plain = dtype.value_or(
      dtype_in_config(source.config_json, source.config_file()).value_or(main_dtype(checkpoint)));
  conversion.describe_source(checkpoint);
  conversion.start("dequantizing", checkpoint.total_bytes());
  for (const std::string& name : checkpoint.names()) {
    conversion.step(name, checkpoint.info(name).nbytes, [&] {
      if (source.repeated.contains(name)) return;
      const ModuleInfo* module = packed.module_of(name);
      if (!module) {
        const Tensor tensor = checkpoint.tensor(name);
        const bool cast = dtype && is_float(tensor.dtype());
        conversion.write_cast(name, tensor, cast ? *dtype : tensor.dtype());
      } else if (packed.is_turn_of(*module, name)) {
        const Tensor codes = checkpoint.tensor(name);
        prefetch_pages(codes);
        conversion.write_decoded(module->name + ".weight", packed.load(*module), plain);
        drop_pages(codes);
      }  // else a side tensor of the packing, which goes with it
    });
  }
  source.config_json.erase("quantization_config");
  set_dtype_in_config(source.config_json, plain);
  return source.finish(conversion);
}

}  // namespace nibble
