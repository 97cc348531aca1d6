// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/inspect_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "nibble/convert/model_files.h"
#include "nibble/io/json_file.h"
#include "nibble/outline/conversion.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const char* kind_name(OutlineModule::Kind kind) {
  switch (kind) {
    case OutlineModule::Kind::kLinear:
      return "linear";
    case OutlineModule::Kind::kConv1D:
      return "conv1d";
    case OutlineModule::Kind::kConv:
      return "convolution";
    case OutlineModule::Kind::kEmbedding:
      return "embedding";
    case OutlineModule::Kind::kNorm:
      return "norm";
    case OutlineModule::Kind::kParameter:
      return "parameter";
    case OutlineModule::Kind::kBuffer:
      return "buffer";
  }
  return "";
}

InspectedModule describe(const OutlineModule& module, const MeasuredModule& measured,
                         const std::string& scheme) {
  InspectedModule shown;
  shown.name = module.path;
  shown.kind = kind_name(module.kind);
  shown.shape = module.shape;
  shown.tied_to = module.tied_to;
  if (shown.tied_to.ends_with(".weight")) shown.tied_to.resize(shown.tied_to.size() - 7);
  shown.parameters = measured.parameters;
  shown.bytes = measured.bytes;
  if (measured.converted) {
    shown.scheme = scheme;
  } else {
    shown.dtype = safetensors_name(measured.dtype);
  }
  int64_t elements = 1;
  for (const int64_t dim : module.shape) elements *= dim;
  const int64_t bias = module.bias * size_of(measured.dtype);
  shown.bits_per_weight = 8.0 * static_cast<double>(std::max<int64_t>(0, measured.bytes - bias)) /
                          static_cast<double>(std::max<int64_t>(1, elements));
  return shown;
}

fs::path config_file(const fs::path& path) {
  return fs::is_directory(path) ? path / "config.json" : path;
}

}  // namespace

InspectedQuantization describe_quantization(const QuantizationConfig& config) {
  const QuantizationFacts facts = facts_of(config);
  InspectedQuantization shown;
  shown.method = facts.method;
  shown.format = facts.format;
  shown.bits = facts.bits;
  shown.group_size = facts.group_size;
  shown.skip_modules = facts.skip_modules.value_or(std::vector<std::string>{});
  shown.config = to_json(config);
  shown.notes = notes_of(config);
  return shown;
}

bool is_config_only(const fs::path& path) {
  if (!fs::is_directory(path)) return path.extension() == ".json" && fs::is_regular_file(path);
  if (!fs::exists(path / "config.json")) return false;
  constexpr std::array<const char*, 3> kWeights = {".safetensors", ".bin", ".pt"};
  return std::none_of(fs::directory_iterator(path), fs::directory_iterator(), [&](const auto& f) {
    const std::string extension = f.path().extension().string();
    return std::ranges::any_of(kWeights, [&](const char* e) { return extension == e; }) ||
           f.path().filename().string().ends_with(".index.json");
  });
}

Inspection inspect_config(const fs::path& path, const ConfigInspection& options) {
  const fs::path file = config_file(path);
  const Json json = read_json_file(file);
  const ModelOutline outline = outline_of(json, file.string(), options.release);

  Inspection inspection;
  inspection.format = "config";
  inspection.model_type = outline.model_type;
  inspection.note = "from the config alone: no weights were read";
  const Json stored = json.contains("quantization_config") ? json["quantization_config"] : Json();
  std::optional<QuantizationConfig> quantization =
      find_quantization_config(file.parent_path(), stored);
  if (quantization && options.quantization) {
    inspection.note += "; its own quantization_config is used, the one given is not";
  } else if (!quantization) {
    quantization = options.quantization;
  }
  const std::optional<DType> named = dtype_in_config(json, file.string());
  const DType dtype = plain_dtype(options.dtype, named, quantization.has_value(), options.release);
  const MeasuredModel model =
      measure(outline, dtype, quantization ? &*quantization : nullptr, options.release);

  if (quantization) {
    inspection.scheme = facts_of(*quantization).scheme;
    inspection.quantization = describe_quantization(*quantization);
    inspection.quantization->skip_modules = model.skip_modules;
    inspection.quantization->linear_modules = model.linear_modules;
    inspection.quantization->converted_modules = model.converted_modules;
  }
  for (size_t i = 0; i < outline.modules.size(); ++i) {
    inspection.modules.push_back(describe(outline.modules[i], model.modules[i], inspection.scheme));
  }
  inspection.parameters = model.parameters;
  inspection.bytes = inspection.memory_footprint = model.memory_footprint;
  return inspection;
}

}  // namespace nibble
