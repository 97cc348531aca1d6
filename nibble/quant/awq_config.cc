// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// "exllama" and "ipex" are kernels under which release 4 repacks gemm files on loading. "marlin"
// is a format of AutoAWQ that transformers does not take.
constexpr std::array<const char*, 7> kFormats = {"gemm",    "gemv", "gemv_fast", "llm-awq",
                                                 "exllama", "ipex", "marlin"};
constexpr std::array<const char*, 14> kBackends = {
    "auto",   "auto_trainable", "autoawq",    "llm-awq",        "machete",
    "marlin", "exllama_v2",     "exllama_v1", "gemm",           "gemm_triton",
    "gemv",   "gemv_fast",      "torch_awq",  "torch_fused_awq"};

template <size_t N>
bool is_one_of(const std::array<const char*, N>& names, const std::string& name) {
  return std::ranges::any_of(names, [&](const char* known) { return name == known; });
}

void refuse_fused(ConfigFields& fields) {
  bool fused = false;
  if (fields.has("do_fuse")) fields.read("do_fuse", fused);
  std::optional<int64_t> length;
  fields.read("fuse_max_seq_len", length);
  const Json* map = fields.value("modules_to_fuse");
  if (!fused && !length && (map == nullptr || map->is_null())) return;
  const char* key = fused ? "do_fuse" : length ? "fuse_max_seq_len" : "modules_to_fuse";
  throw fields.bad(key, "false or null").hint("fused modules are gone from transformers 5");
}

}  // namespace

AwqConfig AwqConfig::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  AwqConfig config;
  config.format = "gemm";
  config.read_fields(fields);
  const char* format_key = fields.has("version") ? "version" : "format";
  std::optional<std::string> version;
  fields.read("version", version);
  if (version) config.format = *version;
  config.format = lower_case(config.format);
  fields.read("zero_point", config.zero_point);
  fields.read("modules_to_not_convert", config.modules_to_not_convert);
  if (config.bits < 1 || config.bits > 8) throw fields.bad("bits", "an integer from 1 to 8");
  if (!is_one_of(kFormats, config.format)) {
    throw fields.bad(format_key, fmt::format("one of {}", fmt::join(kFormats, ", ")));
  }
  if (!is_one_of(kBackends, config.backend)) {
    throw fields.bad("backend", fmt::format("one of {}", fmt::join(kBackends, ", ")));
  }
  // Older names of what is a format and a default now.
  if (config.backend == "llm-awq") config.format = "llm-awq";
  if (config.backend == "llm-awq" || config.backend == "autoawq") config.backend = "auto";
  refuse_fused(fields);
  config.notes = notes_on_unknown(fields.unknown());
  return config;
}

Json AwqConfig::to_json() const {
  nlohmann::json object = fields_json();
  object["modules_to_not_convert"] =
      modules_to_not_convert ? nlohmann::json(*modules_to_not_convert) : nlohmann::json();
  object["quant_method"] = kMethod;
  object["version"] = format;
  object["zero_point"] = zero_point;
  return object;
}

QuantizationFacts AwqConfig::facts() const {
  QuantizationFacts facts;
  facts.method = facts.scheme = kMethod;
  facts.format = format;
  facts.bits = static_cast<double>(bits);
  facts.group_size = group_size;
  facts.skip_list = QuantizationFacts::SkipList::kExtendsAutomatic;
  facts.skip_modules = modules_to_not_convert;
  facts.converts_subclasses = true;
  return facts;
}

// Of the gemm packing: qweight [cols, rows / n] and qzeros [groups, rows / n] int32 of n codes,
// scales [groups, rows] float16: all of them buffers.
PackedSize AwqConfig::packed_size(int64_t rows, int64_t cols) const {
  const int64_t group = group_size == -1 ? cols : group_size;
  const int64_t groups = block_count(cols, group);
  const int64_t words = rows / (32 / bits);
  PackedSize size;
  size.bytes = 4 * words * cols + 4 * words * groups + 2 * groups * rows;
  size.float16_bias = true;
  size.bias_is_parameter = false;
  return size;
}

}  // namespace nibble
