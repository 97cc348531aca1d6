// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/weight_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace nibble {
namespace {

constexpr std::string_view kPrefix = "model-";
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kSuffix = ".safetensors";
constexpr size_t kDigits = 5;

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string shard_name(size_t shard, size_t shards) {
  return fmt::format("{}{:05}{}{:05}{}", kPrefix, shard + 1, kOf, shards, kSuffix);
}

bool is_saved_model_file(std::string_view name) {
  if (name == kSingleWeightsName || name == kWeightsIndexName) return true;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return false;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  const size_t of = name.find(kOf);
  if (of == name.npos) return false;
  const std::string_view number = name.substr(0, of);
  const std::string_view count = name.substr(of + kOf.size());
  return number.size() >= kDigits && count.size() >= kDigits && all_digits(number) &&
         all_digits(count);
}

bool is_weights_file(std::string_view name) {
  return name.ends_with(kSuffix) || name == kWeightsIndexName;
}

}  // namespace nibble
