// SPDX-License-Identifier: Apache-2.0
//
// What the conversions of this folder share: reading and rewriting config.json, the companions that
// travel with a model, and the modules that a config describes.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/models/config.h"
#include "nibble/nn/weight_loader.h"
#include "nibble/outline/outline.h"

namespace nibble {

// Copies generation_config.json, the tokenizer's files and chat templates, where they exist.
void copy_companions(const std::filesystem::path& folder, CheckpointWriter& writer);

// The dtype that a config.json names under "dtype" (or the older "torch_dtype"), if any.
std::optional<DType> dtype_in_config(const nlohmann::ordered_json& config, const std::string& file);

// Sets it, under the key that is there already, "dtype" in a config that has neither.
void set_dtype_in_config(nlohmann::ordered_json& config, DType dtype);

// The dtype of most of a checkpoint's float elements; float32 when it has none.
DType main_dtype(const Checkpoint& checkpoint);

// Frequencies of rotary embeddings, which old checkpoints carry; today's models compute them.
bool is_old_buffer(const std::string& name);

// What tensors of a plain model are cast to by its quantization: transformers loads a model in the
// dtype of its config, `plain`, before it quantizes. Under one that no model is held in here those
// that stay plain keep theirs.
DType dtype_before_quantization(DType plain);
DType dtype_beside_quantized(const std::string& name, DType stored, DType plain);

// What num_parameters() of transformers says of a plain model: float elements, each counted once
// and not under the names `dropped`; old buffers are none.
int64_t count_parameters(const Checkpoint& checkpoint,
                         const std::map<std::string, std::string>& dropped);

// What outline/ knows of a model with this config; nullopt for one that is not described there.
std::optional<ModelOutline> known_outline(const nlohmann::ordered_json& config);

// The modules of a model with this config, without its weights, in the order of asking. Which are
// quantizable follows from `options` (see WeightLoader).
std::vector<ModuleInfo> modules_of(const ModelConfig& config, LoadOptions options = {});

// True when `tensor` is one of `module`: its weight, bias or side tensors.
bool belongs_to(const std::string& tensor, const std::string& module);

// The tensor that holds the codes of a packed module, or a plain module's weight: ".weight" where
// there is one, else the largest but for the bias, whatever its packing calls it. Throws Error when
// the module has none.
std::string codes_tensor(const Checkpoint& checkpoint, const std::string& module);

}  // namespace nibble
