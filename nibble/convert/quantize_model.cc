// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/quantize_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
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

// The tensors of a model on their way to a quantized one.
class QuantizeJob {
 public:
  // `plain`: the dtype of the model's config; `by_module`: null where `scheme` is that of all.
  QuantizeJob(Conversion& conversion, const ModelSource& source, const Scheme& scheme,
              const ModuleSchemes* by_module, DType plain)
      : conversion_(conversion),
        source_(source),
        checkpoint_(source.checkpoint),
        scheme_(scheme),
        by_module_(by_module),
        plain_(plain) {}

  // Counts into the report. `chosen`: the modules that have codes; null: all that can. Throws Error
  // when no module is left.
  void choose_modules(const std::vector<ModuleInfo>& modules, const std::set<std::string>* chosen) {
    ConversionReport& report = conversion_.report();
    for (const ModuleInfo& module : modules) {
      if (module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty()) continue;
      bool converts = module.quantizable && (!chosen || chosen->contains(module.name)) &&
                      (!by_module_ || by_module_->contains(module.name));
      const std::optional<std::string> wanted = converts && !chosen && !by_module_
                                                    ? scheme_.misfit(module.rows, module.cols)
                                                    : std::nullopt;
      if (wanted) {
        if (report.misfits.empty()) {
          report.misfit =
              fmt::format("{} {}, {} asks for {}", module.name,
                          to_string(Shape{module.rows, module.cols}), scheme_.name(), *wanted);
        }
        report.misfits.push_back(module.name);
        converts = false;
      }
      if (converts) to_quantize_.emplace(module.name + ".weight", module.name);
      ++(converts ? report.modules_converted : report.modules_kept);
    }
    if (to_quantize_.empty() && !report.misfits.empty()) {
      throw Error(fmt::format("the model has no module that files of {} can hold", scheme_.name()))
          .got(report.misfit);
    }
  }

  // The config, in which modules that stay plain for their shape are named.
  Json quantization_config() const {
    const std::vector<std::string>& misfits = conversion_.report().misfits;
    Json config = scheme_.config_json();
    if (misfits.empty()) return config;
    std::vector<std::string> packed;
    for (const auto& [tensor, module] : to_quantize_) packed.push_back(module);
    return to_json(leaving_plain(read_quantization_config(config, ""), misfits, packed));
  }

  // What becomes of the tensor `name`; `chosen`: of its block.
  void write(const std::string& name, const ChosenCodes* chosen = nullptr) {
    conversion_.step(name, checkpoint_.info(name).nbytes, [&] {
      const auto found = to_quantize_.find(name);
      if (found == to_quantize_.end()) {
        write_plain(name, chosen);
      } else {
        write_packed(name, found->second, chosen);
      }
    });
  }

  void write_blocks(const CodeChoice& choice) {
    const std::vector<std::string>& names = checkpoint_.names();
    const auto in_block = [](const std::string& name, const std::string& block) {
      return name.starts_with(block);
    };
    for (const std::string& name : names) {
      const bool later = std::ranges::any_of(
          choice.blocks, [&](const std::string& block) { return in_block(name, block); });
      if (!later) write(name);
    }
    int64_t done = 0;  // blocks of which all is written
    const auto is_done = [&](const std::string& block) {
      return std::ranges::all_of(names, [&](const std::string& name) {
        return !in_block(name, block) || conversion_.writer().is_done(name);
      });
    };
    while (done < std::ssize(choice.blocks) && is_done(choice.blocks[static_cast<size_t>(done)])) {
      ++done;
    }
    const CodeChoice::Take take = [&](int64_t block, const ChosenCodes& codes) {
      for (const std::string& name : names) {
        if (in_block(name, choice.blocks.at(static_cast<size_t>(block)))) write(name, &codes);
      }
    };
    try {
      choice.run(conversion_.writer().work_folder(), done, take);
    } catch (const Interrupted&) {
      conversion_.writer().suspend();
      throw;
    }
  }

 private:
  void write_plain(const std::string& name, const ChosenCodes* chosen) {
    if (source_.repeated.contains(name)) return;
    const auto changed = [&] { return chosen->tensors.find(name); };
    const bool is_changed = chosen && changed() != chosen->tensors.end();
    const Tensor tensor = is_changed ? changed()->second : checkpoint_.tensor(name);
    conversion_.write_cast(name, tensor, dtype_beside_quantized(name, tensor.dtype(), plain_));
  }

  void write_packed(const std::string& name, const std::string& module, const ChosenCodes* chosen) {
    const Scheme& scheme = by_module_ ? *by_module_->at(module) : scheme_;
    for (const NamedTensor& part :
         scheme.save(chosen ? chosen->weights.at(module) : quantized(name, scheme), module)) {
      conversion_.write(part.name, part.tensor);
    }
  }

  Weight quantized(const std::string& name, const Scheme& scheme) {
    const Tensor stored = checkpoint_.tensor(name);
    prefetch_pages(stored);
    const Tensor dense =
        is_float(stored.dtype()) ? to_dtype(stored, dtype_before_quantization(plain_)) : stored;
    try {
      Weight packed = scheme.quantize(dense, conversion_.pool());
      drop_pages(stored);
      return packed;
    } catch (Error& error) {
      throw error.file(checkpoint_.file_of(name)).tensor(name);
    }
  }

  Conversion& conversion_;
  const ModelSource& source_;
  const Checkpoint& checkpoint_;
  const Scheme& scheme_;
  const ModuleSchemes* by_module_;
  DType plain_;
  std::map<std::string, std::string> to_quantize_;  // modules by the name of the weight
};

}  // namespace

ConversionReport quantize_model(const fs::path& source_folder, const fs::path& destination,
                                const Scheme& scheme, ThreadPool& pool,
                                CheckpointWriterOptions writer_options, Progress* progress,
                                const CodeChoice* choice, const ModuleSchemes* by_module) {
  JobDescription description = {{"command", "quantize"}, {"scheme", scheme.config_json().dump()}};
  if (by_module) {
    for (const auto& [name, own] : *by_module) {
      description["scheme of " + name] = own->config_json().dump();
    }
  }
  Conversion conversion(destination, std::move(description), pool, std::move(writer_options),
                        choice ? nullptr : progress);
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
  QuantizeJob job(conversion, source, scheme, by_module, plain);
  std::set<std::string> chosen;
  if (choice) chosen = {choice->modules.begin(), choice->modules.end()};
  job.choose_modules(modules, choice ? &chosen : nullptr);
  const Json quantization = job.quantization_config();

  conversion.describe_source(checkpoint);
  if (choice) conversion.describe_file(choice->texts);
  conversion.start("quantizing", checkpoint.total_bytes());
  if (choice) {
    job.write_blocks(*choice);
  } else {
    for (const std::string& name : checkpoint.names()) job.write(name);
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
