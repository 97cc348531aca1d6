// SPDX-License-Identifier: Apache-2.0
//
// The file names that Hugging Face's libraries give to the weights of a saved model.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nibble {

inline constexpr std::string_view kSingleWeightsName = "model.safetensors";
inline constexpr std::string_view kWeightsIndexName = "model.safetensors.index.json";

// "model-00001-of-00003.safetensors" for shard 0 of 3.
std::string shard_name(size_t shard, size_t shards);

// Weights or index of a saved model, under exactly the names above: what a new model replaces.
bool is_saved_model_file(std::string_view name);

// Any safetensors file or the index: names that files beside the weights may not have.
bool is_weights_file(std::string_view name);

}  // namespace nibble
