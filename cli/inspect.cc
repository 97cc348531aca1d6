// SPDX-License-Identifier: Apache-2.0
//
// nibble inspect PATH: what a model is made of, and how far it is from another one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  std::string path;
  std::optional<std::string> compare;
  bool tensors = false;
  std::optional<std::string> quantization_config;
  int release = 5;
  LoadingOptions loading;
  CommonOptions common;
};

Json error_json(const MatrixError& error) {
  return {{"max_abs", error.max_abs}, {"relative_rms", error.relative_rms}};
}

Json module_json(const InspectedModule& module) {
  Json row = {{"name", module.name}, {"kind", module.kind}, {"shape", module.shape}};
  if (!module.tied_to.empty()) {
    row["tied_to"] = module.tied_to;
    return row;
  }
  row["dtype"] = module.dtype.empty() ? Json(nullptr) : Json(module.dtype);
  row["scheme"] = module.scheme.empty() ? Json(nullptr) : Json(module.scheme);
  row["parameters"] = module.parameters;
  row["bytes"] = module.bytes;
  row["bits_per_weight"] = module.bits_per_weight;
  if (module.error) row["error"] = error_json(*module.error);
  return row;
}

Json quantization_json(const InspectedQuantization& quantization) {
  Json object = {{"method", quantization.method}, {"bits", quantization.bits}};
  object["group_size"] = quantization.group_size ? Json(*quantization.group_size) : Json(nullptr);
  if (!quantization.format.empty()) object["format"] = quantization.format;
  object["linear_modules"] = quantization.linear_modules;
  object["converted_modules"] = quantization.converted_modules;
  object["skip_modules"] = quantization.skip_modules;
  if (!quantization.notes.empty()) object["notes"] = quantization.notes;
  object["config"] = quantization.config;
  return object;
}

Json document_of(const Inspection& inspection) {
  Json document = {{"format", inspection.format}};
  if (!inspection.model_type.empty()) document["model_type"] = inspection.model_type;
  document["scheme"] = inspection.scheme.empty() ? Json(nullptr) : Json(inspection.scheme);
  document["parameters"] = inspection.parameters;
  document["bytes"] = inspection.bytes;
  if (!inspection.modules.empty()) document["memory_footprint"] = inspection.memory_footprint;
  if (inspection.quantization) {
    document["quantization"] = quantization_json(*inspection.quantization);
  }
  if (inspection.error) document["error"] = error_json(*inspection.error);
  if (!inspection.note.empty()) document["note"] = inspection.note;
  document["modules"] = Json::array();
  for (const InspectedModule& module : inspection.modules) {
    document["modules"].push_back(module_json(module));
  }
  document["tensors"] = Json::array();
  for (const InspectedTensor& tensor : inspection.tensors) {
    document["tensors"].push_back({{"name", tensor.name},
                                   {"dtype", tensor.type},
                                   {"shape", tensor.shape},
                                   {"bytes", tensor.bytes}});
  }
  return document;
}

std::string module_table(const Inspection& inspection) {
  std::vector<Table::Column> columns = {{"module"}, {"shape"},        {"dtype"},
                                        {"scheme"}, {"bits/w", true}, {"bytes", true}};
  if (inspection.error) {
    columns.push_back({"max error", true});
    columns.push_back({"relative rms", true});
  }
  Table table(columns);
  for (const InspectedModule& module : inspection.modules) {
    std::vector<std::string> row = {module.name, to_string(module.shape)};
    if (module.tied_to.empty()) {
      row.insert(
          row.end(),
          {module.dtype.empty() ? "-" : module.dtype, module.scheme.empty() ? "-" : module.scheme,
           fmt::format("{:.3f}", module.bits_per_weight), format_count(module.bytes)});
    } else {
      row.insert(row.end(), {"-", "tied", "-", "-"});
    }
    if (inspection.error) {
      row.push_back(module.error ? fmt::format("{:.3g}", module.error->max_abs) : "-");
      row.push_back(module.error ? fmt::format("{:.3g}", module.error->relative_rms) : "-");
    }
    table.add(std::move(row));
  }
  return table.text();
}

std::string tensor_table(const Inspection& inspection) {
  Table table({{"tensor"}, {"shape"}, {"dtype"}, {"bytes", true}});
  for (const InspectedTensor& tensor : inspection.tensors) {
    table.add({tensor.name, to_string(tensor.shape), tensor.type, format_count(tensor.bytes)});
  }
  return table.text();
}

void add_quantization(Table& table, const InspectedQuantization& quantization) {
  table.add({"quant method", quantization.method});
  if (!quantization.format.empty()) table.add({"format", quantization.format});
  table.add({"bits", fmt::format("{}", quantization.bits)});
  if (quantization.group_size) {
    table.add({"group size", *quantization.group_size == -1
                                 ? "a whole row"
                                 : std::to_string(*quantization.group_size)});
  }
  if (quantization.linear_modules > 0) {
    table.add({"quantized modules", fmt::format("{} of {}", quantization.converted_modules,
                                                quantization.linear_modules)});
  }
  if (!quantization.skip_modules.empty()) {
    table.add({"skipped", fmt::format("{}", fmt::join(quantization.skip_modules, ", "))});
  }
}

std::string totals(const Inspection& inspection) {
  Table table({{""}, {""}});
  const auto add = [&](const char* name, std::string value) {
    table.add({name, std::move(value)});
  };
  if (!inspection.model_type.empty()) add("architecture", inspection.model_type);
  if (!inspection.scheme.empty()) add("scheme", inspection.scheme);
  if (inspection.quantization) add_quantization(table, *inspection.quantization);
  if (!inspection.tensors.empty())
    add("tensors", format_count(static_cast<int64_t>(inspection.tensors.size())));
  add(inspection.modules.empty() ? "elements" : "parameters", format_count(inspection.parameters));
  add("bytes",
      fmt::format("{} ({})", format_count(inspection.bytes), format_bytes(inspection.bytes)));
  if (!inspection.modules.empty()) {
    add("bits per parameter",
        fmt::format("{:.3f}", 8.0 * static_cast<double>(inspection.bytes) /
                                  static_cast<double>(inspection.parameters)));
    add("memory footprint", fmt::format("{} ({})", format_count(inspection.memory_footprint),
                                        format_bytes(inspection.memory_footprint)));
  }
  if (inspection.error) {
    add("largest error", fmt::format("{:.6g}", inspection.error->max_abs));
    add("relative rms error", fmt::format("{:.6g}", inspection.error->relative_rms));
  }
  if (!inspection.note.empty()) add("note", inspection.note);
  return table.text();
}

ConfigInspection config_inspection(const InspectOptions& options) {
  ConfigInspection inspection;
  inspection.release = options.release == 4 ? HfRelease::kV4 : HfRelease::kV5;
  OpenOptions open = open_options(options.loading, options.common, nullptr);
  inspection.dtype = open.dtype;
  if (open.quantization) inspection.quantization = *open.quantization;
  if (options.quantization_config) {
    inspection.quantization = read_quantization_config(read_json_file(*options.quantization_config),
                                                       *options.quantization_config);
  }
  return inspection;
}

// Weights have nothing to say about how a model would be if it were loaded otherwise.
bool from_config_alone(const InspectOptions& options) {
  const LoadingOptions& loading = options.loading;
  const bool otherwise = loading.bnb.load_in_8bit || loading.bnb.load_in_4bit ||
                         options.quantization_config || !loading.dtype.empty() ||
                         options.release != 5;
  if (otherwise && options.compare) {
    throw UsageError("--compare measures the weights as they are: it goes with no loading option");
  }
  return otherwise || (!options.compare && is_config_only(options.path));
}

void inspect(const InspectOptions& options) {
  const std::shared_ptr<ThreadPool> pool = make_pool(options.common);
  ProgressBar progress(options.common.quiet);
  const Inspection inspection =
      from_config_alone(options) ? inspect_config(options.path, config_inspection(options))
                                 : inspect_model(options.path, options.compare, *pool, &progress);
  if (inspection.quantization) {
    for (const std::string& note : inspection.quantization->notes) warn(note);
  }
  if (options.common.json) {
    print_json(document_of(inspection));
    return;
  }
  const bool tensors = options.tensors || inspection.modules.empty();
  print(tensors ? tensor_table(inspection) : module_table(inspection));
  print(totals(inspection));
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      app.add_subcommand("inspect", "Show modules, schemes, sizes and quantization error");
  command->footer(
      "\nThe memory footprint is what get_memory_footprint() of transformers says. With "
      "--compare,\n"
      "\"relative rms\" is the root of the squared error over the squared weights of OTHER. With "
      "a\n"
      "loading option, and where there are no weights, all follows from config.json alone.\n\n"
      "Examples:\n"
      "  nibble inspect model-nf4 --compare model\n"
      "  nibble inspect model.Q4_K_M.gguf --json\n"
      "  nibble inspect config.json --load-in-4bit --dtype float16\n");
  command
      ->add_option("path", options->path,
                   "Model folder, config.json, .safetensors, .gguf or .bin file")
      ->required();
  command->add_option("--compare", options->compare,
                      "Model folder to measure quantization error against");
  command->add_flag("--tensors", options->tensors, "List the tensors of the files, not modules");
  command->add_option(
      "--quantization-config", options->quantization_config,
      "Sizes as if quantized by this JSON file: a quantization_config of any method");
  command
      ->add_option("--transformers", options->release,
                   "Release whose rules and buffers the sizes follow: 4 or 5")
      ->check(CLI::IsMember({4, 5}))
      ->capture_default_str();
  add_loading_options(*command, options->loading);
  add_common_options(*command, options->common);
  command->callback([options] { inspect(*options); });
}

}  // namespace nibble::cli
