// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/plain_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

#include "nibble/base/error.h"

namespace nibble {
namespace {

bool is_number(std::string_view part) {
  return !part.empty() &&
         std::ranges::all_of(part, [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
    parts.push_back(path.substr(0, dot));
    path.remove_prefix(dot + 1);
  }
  parts.push_back(path);
  return parts;
}

// "self_attn.q_proj" of "model.layers.3.self_attn.q_proj".
std::string name_in_block(const std::string& path) {
  const std::vector<std::string_view> parts = parts_of(path);
  const auto number = std::ranges::find_if(parts, is_number);
  if (number == parts.end() || number + 1 == parts.end()) return path;
  return path.substr(static_cast<size_t>((number + 1)->data() - path.data()));
}

// The hqq library's name of a Linear module: its path without numbers and without these two words.
std::string hqq_tag(const std::string& path) {
  std::string tag;
  for (const std::string_view part : parts_of(path)) {
    if (part == "model" || part == "layers" || is_number(part)) continue;
    if (!tag.empty()) tag += '.';
    tag += part;
  }
  return tag;
}

// The names of `modules`, each once, in their order.
std::vector<std::string> names_by(std::string (*name_of)(const std::string&),
                                  const std::vector<std::string>& modules) {
  std::vector<std::string> names;
  for (const std::string& module : modules) {
    std::string name = name_of(module);
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

// Throws Error for a plain module that has the name of a packed one.
void require_same_in_all_blocks(std::string (*name_of)(const std::string&),
                                const std::vector<std::string>& plain,
                                const std::vector<std::string>& packed, const char* method) {
  const std::vector<std::string> names = names_by(name_of, packed);
  const std::set<std::string> taken(names.begin(), names.end());
  for (const std::string& module : plain) {
    if (!taken.contains(name_of(module))) continue;
    throw Error("some modules of this name have to stay plain and others not")
        .tensor(module + ".weight")
        .expected(fmt::format("the same in all blocks, as the config of {} is about all of them",
                              method));
  }
}

struct PlainModules {
  const std::vector<std::string>& plain;
  const std::vector<std::string>& packed;

  void name_in(GptqConfig& config) const {
    require_same_in_all_blocks(name_in_block, plain, packed, GptqConfig::kMethod);
    config.modules_in_block_to_quantize = {names_by(name_in_block, packed)};
  }

  void name_in(HqqConfig& config) const {
    require_same_in_all_blocks(hqq_tag, plain, packed, HqqConfig::kMethod);
    for (std::string& tag : names_by(hqq_tag, plain)) config.skip_modules.push_back(std::move(tag));
  }

  // An entry is also the end of a path: the name of all of a kind, unless some of them are packed.
  void name_in(AwqConfig& config) const {
    if (!config.modules_to_not_convert) config.modules_to_not_convert.emplace();
    std::vector<std::string>& kept = *config.modules_to_not_convert;
    for (const std::string& path : plain) {
      std::string name = name_in_block(path);
      if (std::ranges::any_of(packed, [&](const auto& other) { return other.ends_with(name); })) {
        name = path;
      }
      if (std::ranges::find(kept, name) == kept.end()) kept.push_back(std::move(name));
    }
  }

  void name_in(Fp8Config& config) const { add_to(config.modules_to_not_convert); }
  void name_in(CompressedTensorsConfig& config) const { add_to(config.ignore); }
  void name_in(FbgemmFp8Config& config) const { add_to(config.modules_to_not_convert); }
  void name_in(EetqConfig& config) const { add_to(config.modules_to_not_convert); }
  void name_in(GroupInt8Config& config) const { add_to(config.modules_to_not_convert); }
  void name_in(BitsAndBytesConfig& config) const { add_to(config.llm_int8_skip_modules); }

  // A list that stands instead of the automatic one, which for a language model is its head.
  void add_to(std::optional<std::vector<std::string>>& list) const {
    if (!list) list = {"lm_head"};
    list->insert(list->end(), plain.begin(), plain.end());
  }
};

}  // namespace

QuantizationConfig leaving_plain(QuantizationConfig config, const std::vector<std::string>& plain,
                                 const std::vector<std::string>& packed) {
  if (plain.empty()) return config;
  const PlainModules modules{plain, packed};
  std::visit([&](auto& known) { modules.name_in(known); }, config);
  return config;
}

}  // namespace nibble
