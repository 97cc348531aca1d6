// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/quantize_model.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/convert/conversion.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/model_source.h"
#include "nibble/io/page_advice.h"
#include "nibble/quant/plain_modules.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Those that are to be quantized, by the name of the weight; the report counts all of them.
std::map<std::string, ModuleInfo> choose_modules(const std::vector<ModuleInfo>& modules,
                                                 const Scheme& scheme, const ChosenCodes* chosen,
                                                 const ModuleSchemes* by_module,
                                                 ConversionReport& report) {
  std::map<std::string, ModuleInfo> to_quantize;
  for (const ModuleInfo& module : modules) {
    if (module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty()) continue;
    bool converts = module.quantizable && (!chosen || chosen->weights.contains(module.name)) &&
                    (!by_module || by_module->contains(module.name));
    const std::optional<std::string> wanted =
        converts && !chosen && !by_module ? scheme.misfit(module.rows, module.cols) : std::nullopt;
    if (wanted) {
      if (report.misfits.empty()) {
        report.misfit =
            fmt::format("{} {}, {} asks for {}", module.name,
                        to_string(Shape{module.rows, module.cols}), scheme.name(), *wanted);
      }
      report.misfits.push_back(module.name);
      converts = false;
    }
    if (converts) to_quantize.emplace(module.name + ".weight", module);
    ++(converts ? report.modules_converted : report.modules_kept);
  }
  if (to_quantize.empty() && !report.misfits.empty()) {
    throw Error(fmt::format("the model has no module that files of {} can hold", scheme.name()))
        .got(report.misfit);
  }
  return to_quantize;
}

// The config, in which modules that stay plain for their shape are named.
Json config_of(const Scheme& scheme, const std::map<std::string, ModuleInfo>& quantized,
               const std::vector<std::string>& misfits) {
  Json config = scheme.config_json();
  if (misfits.empty()) return config;
  std::vector<std::string> packed;
  for (const auto& [tensor, module] : quantized) packed.push_back(module.name);
  return to_json(leaving_plain(read_quantization_config(config, ""), misfits, packed));
}

Tensor plain_tensor(const Checkpoint& checkpoint, const std::string& name,
                    const ChosenCodes* chosen) {
  if (chosen) {
    const auto found = chosen->tensors.find(name);
    if (found != chosen->tensors.end()) return found->second;
  }
  return checkpoint.tensor(name);
}

}  // namespace

ConversionReport quantize_model(const fs::path& source_folder, const fs::path& destination,
                                const Scheme& scheme, ThreadPool& pool,
                                CheckpointWriterOptions writer_options, Progress* progress,
                                const ChosenCodes* chosen, const ModuleSchemes* by_module) {
  JobDescription job = {{"command", "quantize"}, {"scheme", scheme.config_json().dump()}};
  if (by_module) {
    for (const auto& [name, own] : *by_module) job["scheme of " + name] = own->config_json().dump();
  }
  Conversion conversion(destination, std::move(job), pool, std::move(writer_options), progress);
  ModelSource source(source_folder);
  const Checkpoint& checkpoint = source.checkpoint;
  source.require_plain();
  const DType plain =
      dtype_in_config(source.config_json, source.config_file()).value_or(main_dtype(checkpoint));
  LoadOptions options;
  options.quantize_with = &scheme;
  options.skip_modules = scheme.skip_modules();
  const std::vector<ModuleInfo> modules = modules_of(source.config, options);
  check_matrices(checkpoint, modules);
  const std::map<std::string, ModuleInfo> to_quantize =
      choose_modules(modules, scheme, chosen, by_module, conversion.report());
  const Json quantization = config_of(scheme, to_quantize, conversion.report().misfits);

  conversion.describe_source(checkpoint);
  if (chosen) conversion.describe_file(chosen->texts);
  conversion.start("quantizing", checkpoint.total_bytes());
  for (const std::string& name : checkpoint.names()) {
    conversion.step(name, checkpoint.info(name).nbytes, [&] {
      const auto found = to_quantize.find(name);
      if (found == to_quantize.end()) {
        if (source.repeated.contains(name)) return;
        const Tensor tensor = plain_tensor(checkpoint, name, chosen);
        conversion.write_cast(name, tensor, dtype_beside_quantized(name, tensor.dtype(), plain));
        return;
      }
      const Tensor stored = checkpoint.tensor(name);
      prefetch_pages(stored);
      const Tensor dense =
          is_float(stored.dtype()) ? to_dtype(stored, dtype_before_quantization(plain)) : stored;
      const std::string& module = found->second.name;
      const Scheme& own = by_module ? *by_module->at(module) : scheme;
      Weight packed;
      try {
        packed = chosen ? chosen->weights.at(module) : own.quantize(dense, pool);
      } catch (Error& error) {
        throw error.file(checkpoint.file_of(name)).tensor(name);
      }
      drop_pages(stored);
      for (const NamedTensor& part : own.save(packed, module)) {
        conversion.write(part.name, part.tensor);
      }
    });
  }
  Json& config = source.config_json;
  if (!dtype_in_config(config, source.config_file())) set_dtype_in_config(config, plain);
  config["quantization_config"] = quantization;
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
        conversion.write_decoded(module->name + ".weight", packed.load(*module, pool), plain);
        drop_pages(codes);
      }  // else a side tensor of the packing, which goes with it
    });
  }
  source.config_json.erase("quantization_config");
  set_dtype_in_config(source.config_json, plain);
  return source.finish(conversion);
}

}  // namespace nibble
