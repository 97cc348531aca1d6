// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/precision_ways.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "nibble/quant/hqq_config.h"
#include "nibble/quant/plain_modules.h"
#include "nibble/quant/registry.h"

namespace nibble {
namespace {

// HQQ stores 5 and 6 bits as 8, which are better, and GPTQ has none of them.
constexpr int64_t kBits[] = {2, 3, 4, 8};
constexpr int64_t kGroups[] = {32, 64, 128};

}  // namespace

bool PrecisionWay::holds(int64_t rows, int64_t cols) const {
  return !scheme->misfit(rows, cols) && (group_size == -1 || cols % group_size == 0);
}

std::vector<PrecisionWay> hqq_ways(std::optional<int64_t> group_size,
                                   const std::optional<std::vector<std::string>>& skip_modules) {
  std::vector<PrecisionWay> ways;
  const auto add = [&](int64_t bits, int64_t group) {
    nlohmann::ordered_json object = {
        {"quant_method", HqqConfig::kMethod}, {"nbits", bits}, {"group_size", group}};
    if (group == -1) object["group_size"] = nullptr;
    if (skip_modules) object["skip_modules"] = *skip_modules;
    ways.push_back({bits, group, make_scheme(object, "")});
  };
  for (const int64_t bits : kBits) {
    if (group_size) {
      add(bits, *group_size);
    } else {
      for (const int64_t group : kGroups) add(bits, group);
    }
  }
  return ways;
}

std::vector<PrecisionWay> gptq_ways(const GptqConfig& config) {
  std::vector<PrecisionWay> ways;
  for (const int64_t bits : kBits) {
    GptqConfig own = config;
    own.bits = bits;
    ways.push_back({bits, config.group_size, make_scheme(own, "")});
  }
  return ways;
}

std::shared_ptr<const Scheme> scheme_of_ways(const std::map<std::string, PrecisionWay>& ways,
                                             const PrecisionWay& usual,
                                             const std::vector<std::string>& plain) {
  QuantizationConfig config = read_quantization_config(usual.scheme->config_json(), "");
  if (auto* gptq = std::get_if<GptqConfig>(&config)) {
    std::map<std::string, int64_t> others;
    for (const auto& [module, way] : ways) {
      if (way.bits != usual.bits) others.emplace(module, way.bits);
    }
    gptq->dynamic = gptq_rules_of_bits(others);
  }
  std::vector<std::string> packed;
  for (const auto& [module, way] : ways) packed.push_back(module);
  return make_scheme(leaving_plain(std::move(config), plain, packed), "");
}

}  // namespace nibble
