// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/model_source.h"

#include <fmt/format.h>

#include <set>

#include "nibble/base/error.h"
#include "nibble/convert/model_files.h"
#include "nibble/convert/tied_weights.h"
#include "nibble/io/json_file.h"
#include "nibble/nn/skip_modules.h"
#include "nibble/quant/plain_modules.h"
#include "nibble/quant/registry.h"
#include "nibble/quant/skip_modules.h"

namespace nibble {

ModelSource::ModelSource(const std::filesystem::path& folder)
    : config_json(read_json_file(folder / "config.json")),
      config(ModelConfig::load(folder)),
      checkpoint(Checkpoint::open(folder)),
      repeated(repeated_weights(checkpoint, config_json)) {}

void ModelSource::require_plain() const {
  if (!is_quantized()) return;
  throw Error("the model is quantized already")
      .file(quantization_file())
      .hint("run `nibble dequantize` first, or start from the original model");
}

ConversionReport ModelSource::finish(Conversion& conversion) const {
  conversion.writer().add_file("config.json", format_json(config_json));
  copy_companions(checkpoint.folder(), conversion.writer());
  return conversion.commit();
}

void check_matrices(const Checkpoint& checkpoint, const std::vector<ModuleInfo>& modules) {
  std::set<std::string> tied;  // tables that the file may have under the name of what shares them
  for (const ModuleInfo& module : modules) {
    if (checkpoint.contains(module.name + ".weight")) tied.insert(module.tied_to);
  }
  for (const ModuleInfo& module : modules) {
    const std::string name = module.name + ".weight";
    if (module.kind == ModuleInfo::Kind::kParameter) continue;
    const bool elsewhere = !module.tied_to.empty() || tied.contains(module.name);
    if (elsewhere && !checkpoint.contains(name)) continue;
    const Shape& shape = checkpoint.info(name).shape;
    if (shape == Shape{module.rows, module.cols}) continue;
    throw Error("wrong shape")
        .file(checkpoint.file_of(name))
        .tensor(name)
        .expected(to_string(Shape{module.rows, module.cols}))
        .got(to_string(shape));
  }
}

namespace {

// A module that is not packed as the config says has to be plain, or its codes would pass for
// weights.
void check_plain(const ModelSource& source, const std::string& module, std::string_view scheme) {
  const Checkpoint& checkpoint = source.checkpoint;
  const std::string name = module + ".weight";
  const bool stored = checkpoint.contains(name);
  if (stored && is_float(checkpoint.info(name).dtype)) return;
  Error error("the module is stored neither as quantization_config says nor plain");
  if (stored) error.file(checkpoint.file_of(name));
  throw error.tensor(name)
      .expected(fmt::format("{} or a float dtype", scheme))
      .got(stored ? std::string(torch_name(checkpoint.info(name).dtype)) : "no such tensor");
}

}  // namespace

PackedModules::PackedModules(const ModelSource& source, ConversionReport& report)
    : source_(source) {
  if (!source.is_quantized()) {
    throw Error("the model is not quantized: it has no quantization_config")
        .file(source.config_file());
  }
  config_ = find_quantization_config(source.checkpoint.folder(), source.config.quantization);
  scheme_ = make_scheme(*config_, source.quantization_file());
  const std::vector<ModuleInfo> modules = modules_of(source.config);
  const std::string head = names_of(modules).output_embeddings;
  for (const ModuleInfo& module : modules) {
    if (module.kind != ModuleInfo::Kind::kLinear || !module.tied_to.empty()) continue;
    const bool packed = scheme_->is_packed(source.checkpoint, module.name);
    if (!packed) check_plain(source, module.name, scheme_->name());
    if (!packed && module.name != head) plain_.push_back(module.name);
    if (packed) {
      modules_.emplace(module.name, module);
      codes_of_.emplace(module.name, codes_tensor(source.checkpoint, module.name));
    }
    ++(packed ? report.modules_converted : report.modules_kept);
  }
}

QuantizationConfig PackedModules::naming_plain(QuantizationConfig config) const {
  const SkipMatcher named(facts_of(config).skip_modules.value_or(std::vector<std::string>{}));
  std::vector<std::string> plain, packed;
  for (const std::string& module : plain_) {
    if (!named.skips(module)) plain.push_back(module);
  }
  for (const auto& [name, module] : modules_) packed.push_back(name);
  return leaving_plain(std::move(config), plain, packed);
}

const ModuleInfo* PackedModules::module_of(const std::string& tensor) const {
  for (size_t dot = tensor.find('.'); dot != std::string::npos; dot = tensor.find('.', dot + 1)) {
    const auto found = modules_.find(tensor.substr(0, dot));
    if (found == modules_.end()) continue;
    return tensor.substr(dot) == ".bias" ? nullptr : &found->second;
  }
  return nullptr;
}

bool PackedModules::is_turn_of(const ModuleInfo& module, const std::string& tensor) const {
  return codes_of_.at(module.name) == tensor;
}

Weight PackedModules::load(const ModuleInfo& module, ThreadPool& pool) const {
  return scheme_->load(source_.checkpoint, module.name, module.rows, module.cols, pool);
}

}  // namespace nibble
