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
// As saved before safetensors: read, never written.
inline constexpr std::string_view kSingleTorchName = "pytorch_model.bin";
inline constexpr std::string_view kTorchIndexName = "pytorch_model.bin.index.json";

// "model-00001-of-00003.safetensors" for shard 0 of 3.
std::string shard_name(size_t shard, size_t shards);

// Weights or index of a saved model, in either format, under exactly the names above or those of
// their shards: what a new model replaces.
bool is_saved_model_file(std::string_view name);

// Any file of weights or an index of them: names that files beside the weights may not have.
bool is_weights_file(std::string_view name);

// A name that torch.save is usually given: .bin, .pt, .pth, .ckpt.
bool is_torch_name(std::string_view name);

}  // namespace nibble
