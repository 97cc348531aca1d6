// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/weight_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace nibble {
namespace {

constexpr std::string_view kPrefix = "model-";
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kSuffix = ".safetensors";
constexpr std::string_view kTorchPrefix = "pytorch_model-";
constexpr std::string_view kTorchSuffix = ".bin";
constexpr size_t kDigits = 5;

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "PREFIX00001-of-00003SUFFIX".
bool is_shard(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  name.remove_prefix(prefix.size());
  name = name.substr(0, name.size() - std::min(name.size(), suffix.size()));
  const size_t of = name.find(kOf);
  if (of == name.npos) return false;
  const std::string_view number = name.substr(0, of);
  const std::string_view count = name.substr(of + kOf.size());
  return number.size() >= kDigits && count.size() >= kDigits && all_digits(number) &&
         all_digits(count);
}

}  // namespace

std::string shard_name(size_t shard, size_t shards) {
  return fmt::format("{}{:05}{}{:05}{}", kPrefix, shard + 1, kOf, shards, kSuffix);
}

bool is_saved_model_file(std::string_view name) {
  return name == kSingleWeightsName || name == kWeightsIndexName || name == kSingleTorchName ||
         name == kTorchIndexName || is_shard(name, kPrefix, kSuffix) ||
         is_shard(name, kTorchPrefix, kTorchSuffix);
}

bool is_weights_file(std::string_view name) {
  return name.ends_with(kSuffix) || is_saved_model_file(name);
}

bool is_torch_name(std::string_view name) {
  return name.ends_with(kTorchSuffix) || name.ends_with(".pt") || name.ends_with(".pth") ||
         name.ends_with(".ckpt");
}

}  // namespace nibble
