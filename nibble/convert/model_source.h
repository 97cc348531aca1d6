// SPDX-License-Identifier: Apache-2.0
//
// A model folder as the conversions between plain and quantized models read it, and what a
// quantized one has packed. Writes nothing but the companions of the result.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/convert/conversion.h"
#include "nibble/io/checkpoint.h"
#include "nibble/models/config.h"
#include "nibble/nn/weight_loader.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

struct ModelSource {
  // Throws Error for a folder that is no model, or one of an unsupported architecture.
  explicit ModelSource(const std::filesystem::path& folder);

  std::string config_file() const { return (checkpoint.folder() / "config.json").string(); }
  bool is_quantized() const { return names_quantization(checkpoint.folder(), config.quantization); }
  std::string quantization_file() const {
    return nibble::quantization_file(checkpoint.folder(), config.quantization).string();
  }

  // Throws Error for a model that is quantized.
  void require_plain() const;

  // Writes config_json, which the caller has adapted, and the companions of the source.
  ConversionReport finish(Conversion& conversion) const;

  nlohmann::ordered_json config_json;
  ModelConfig config;
  Checkpoint checkpoint;
  std::map<std::string, std::string> repeated;  // names to leave out
};

// Throws Error unless the plain model has the matrices that its config asks for, in their shapes: a
// model that does not load would give another one. Of a weight that is tied either name will do.
void check_matrices(const Checkpoint& checkpoint, const std::vector<ModuleInfo>& modules);

// The packed modules of a quantized source, and whose each tensor is.
class PackedModules {
 public:
  // Counts modules into `report`. Throws Error for a source that is not quantized, or in a way that
  // cannot be read. `source` outlives this.
  PackedModules(const ModelSource& source, ConversionReport& report);

  const QuantizationConfig& config() const { return *config_; }

  // The config of these modules in another packing, in which those that stay plain are named.
  QuantizationConfig naming_plain(QuantizationConfig config) const;

  // The packed module that a tensor belongs to; null for a tensor of none, and for a bias.
  const ModuleInfo* module_of(const std::string& tensor) const;

  // Whether the module's turn is that of this tensor, the one with its codes.
  bool is_turn_of(const ModuleInfo& module, const std::string& tensor) const;

  Weight load(const ModuleInfo& module, ThreadPool& pool) const;

 private:
  const ModelSource& source_;
  std::optional<QuantizationConfig> config_;
  std::unique_ptr<Scheme> scheme_;
  std::map<std::string, ModuleInfo> modules_;    // by name
  std::vector<std::string> plain_;               // all others but the head
  std::map<std::string, std::string> codes_of_;  // the name of a module's codes
};

}  // namespace nibble
