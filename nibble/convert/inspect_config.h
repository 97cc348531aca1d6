// SPDX-License-Identifier: Apache-2.0
//
// What a model is made of according to its config.json, with no weights read and none needed: the
// modules, and what num_parameters() and get_memory_footprint() of transformers would say, also for
// a quantization that the model does not have yet.
#pragma once

#include <filesystem>
#include <optional>

#include "nibble/convert/inspect.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/quant/skip_modules.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

struct ConfigInspection {
  // As if the model were loaded so; that of a model that is quantized already wins, with a note.
  std::optional<QuantizationConfig> quantization;
  std::optional<DType> dtype;  // of what is not quantized; absent: see plain_dtype()
  HfRelease release = HfRelease::kV5;
};

// `path`: a config.json, or a folder that has one. Throws Error for what outline_of() does not
// describe and for a bad quantization_config.
Inspection inspect_config(const std::filesystem::path& path, const ConfigInspection& options);

// True for a .json file and for a folder with a config.json and without weights.
bool is_config_only(const std::filesystem::path& path);

// How an Inspection shows a config; counts of modules are left at 0.
InspectedQuantization describe_quantization(const QuantizationConfig& config);

}  // namespace nibble
