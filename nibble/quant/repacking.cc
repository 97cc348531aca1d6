// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/repacking.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "nibble/base/error.h"
#include "nibble/quant/hqq_packing.h"

namespace nibble {
namespace {

struct NamedPacking {
  const char* name;
  const char* method;
  const char* format;
};

constexpr std::array<NamedPacking, 9> kPackings = {{
    {"gptq", GptqConfig::kMethod, "gptq"},
    {"gptq_v2", GptqConfig::kMethod, "gptq_v2"},
    {"gptq-marlin", GptqConfig::kMethod, "marlin"},
    {"awq-gemm", AwqConfig::kMethod, "gemm"},
    {"awq-gemv", AwqConfig::kMethod, "gemv"},
    {"awq-gemv-fast", AwqConfig::kMethod, "gemv_fast"},
    {"llm-awq", AwqConfig::kMethod, "llm-awq"},
    {"awq-marlin", AwqConfig::kMethod, "marlin"},
    {"group-int8", GroupInt8Config::kMethod, ""},
}};

// What a config says of its codes, whichever method's it is.
struct Numbers {
  int64_t bits = 0, group_size = 0;
  bool sym = false, desc_act = false;
  std::optional<std::vector<std::string>> skip_modules;
};

std::optional<Numbers> numbers_of(const QuantizationConfig& config) {
  if (const auto* gptq = std::get_if<GptqConfig>(&config)) {
    return Numbers{gptq->bits, gptq->group_size, gptq->sym, gptq->desc_act, std::nullopt};
  }
  if (const auto* awq = std::get_if<AwqConfig>(&config)) {
    return Numbers{awq->bits, awq->group_size, !awq->zero_point, false,
                   awq->modules_to_not_convert};
  }
  if (const auto* int8 = std::get_if<GroupInt8Config>(&config)) {
    return Numbers{int8->bits, int8->group_size, true, false, int8->modules_to_not_convert};
  }
  const auto* hqq = std::get_if<HqqConfig>(&config);
  if (hqq == nullptr || !hqq->by_tag.empty()) return std::nullopt;
  return Numbers{hqq_stored_bits(hqq->params.nbits), hqq->params.group_size.value_or(-1), false,
                 false, hqq->skip_modules};
}

}  // namespace

std::vector<std::string> packing_names() {
  std::vector<std::string> names;
  for (const NamedPacking& packing : kPackings) names.emplace_back(packing.name);
  return names;
}

QuantizationConfig repacked_config(const QuantizationConfig& from, const std::string& packing,
                                   const std::string& file) {
  const auto named = std::ranges::find_if(
      kPackings, [&](const NamedPacking& known) { return packing == known.name; });
  if (named == kPackings.end()) {
    throw Error("there is no such packing")
        .expected(fmt::format("one of {}", fmt::join(packing_names(), ", ")))
        .got(packing);
  }
  const std::optional<Numbers> numbers = numbers_of(from);
  if (!numbers) {
    throw Error(fmt::format("a model of this method cannot be packed as {}", packing))
        .file(file)
        .expected("gptq, awq, group-int8, or hqq with one set of parameters")
        .got(facts_of(from).method)
        .hint("`nibble dequantize` makes it plain, but its codes are lost then");
  }
  const auto* gptq = std::get_if<GptqConfig>(&from);
  if (gptq != nullptr && !gptq->dynamic.empty() &&
      named->method != std::string(GptqConfig::kMethod)) {
    throw Error(
        fmt::format("a model with rules of its own for modules cannot be packed as {}", packing))
        .file(file)
        .expected("no 'dynamic' in its quantization_config");
  }
  if (named->method == AwqConfig::kMethod) {
    AwqConfig config;
    config.bits = numbers->bits;
    config.group_size = numbers->group_size;
    config.zero_point = !numbers->sym;
    config.modules_to_not_convert = numbers->skip_modules;
    config.format = named->format;
    return config;
  }
  if (named->method == GroupInt8Config::kMethod) {
    GroupInt8Config config;
    config.group_size = numbers->group_size;
    config.modules_to_not_convert = numbers->skip_modules;
    return config;
  }
  GptqConfig config;
  config.bits = numbers->bits;
  config.group_size = numbers->group_size;
  config.sym = numbers->sym;
  config.desc_act = numbers->desc_act;
  config.act_group_aware = !numbers->desc_act;
  config.format = named->format;
  if (gptq != nullptr) config.dynamic = gptq->dynamic;
  return config;
}

}  // namespace nibble
