// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<int64_t, 4> kGptqBits = {2, 3, 4, 8};
constexpr const char* kMarlinMethod = "marlin";
constexpr std::array<const char*, 3> kDatasets = {"wikitext2", "c4", "c4-new"};

void check_dataset(const ConfigFields& fields, const Json& dataset) {
  if (dataset.is_null() || dataset.is_array()) return;
  const bool known = dataset.is_string() && std::ranges::any_of(kDatasets, [&](const char* name) {
                       return dataset.get_ref<const std::string&>() == name;
                     });
  if (!known) throw fields.bad("dataset", "wikitext2, c4, c4-new or a list of texts");
}

// Release 4 chose among CUDA kernels with these. They say nothing about the weights.
void check_exllama(ConfigFields& fields) {
  bool flag = false;
  fields.read("use_cuda_fp16", flag);
  for (const char* key : {"use_exllama", "disable_exllama"}) {
    if (fields.has(key)) fields.read(key, flag);
  }
  if (fields.has("use_exllama") && fields.has("disable_exllama")) {
    throw fields.bad("disable_exllama", "use_exllama or disable_exllama, not both");
  }
  if (!fields.has("exllama_config")) return;
  ConfigFields exllama = fields.inside("exllama_config");
  std::optional<int64_t> version;
  exllama.read("version", version);
  if (version != 1 && version != 2) throw exllama.bad("version", "1 or 2");
}

// Of files that other tools wrote: AWQ's word for asymmetric, and Marlin's mark of its packing.
void read_old_names(ConfigFields& fields, GptqConfig& config) {
  if (fields.has("zero_point")) {
    bool zero_point = false;
    fields.read("zero_point", zero_point);
    if (!fields.has("sym")) config.sym = !zero_point;
  }
  bool marlin = false;
  if (fields.has("is_marlin_format")) fields.read("is_marlin_format", marlin);
  if (marlin) config.format = kMarlinMethod;
}

}  // namespace

GptqConfig GptqConfig::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  GptqConfig config;
  config.format = "gptq";
  if (!fields.has("bits") && !fields.has("w_bit") && !fields.has("wbits")) {
    throw fields.bad("bits", "2, 3, 4 or 8");
  }
  config.read_fields(fields);
  std::optional<std::string> checkpoint_format;
  fields.read("checkpoint_format", checkpoint_format);
  if (checkpoint_format) config.format = *checkpoint_format;
  config.format = lower_case(config.format);
  read_old_names(fields, config);
  if (std::ranges::find(kGptqBits, config.bits) == kGptqBits.end())
    throw fields.bad("bits", "2, 3, 4 or 8");
  if (!(config.damp_percent > 0 && config.damp_percent < 1)) {
    throw fields.bad("damp_percent", "a number between 0 and 1");
  }
  fields.read("static_groups", config.static_groups);
  config.dynamic = read_gptq_rules(fields);
  check_dataset(fields, config.dataset);
  check_exllama(fields);
  config.notes = notes_on_unknown(fields.unknown());
  if (config.desc_act && config.act_group_aware) {
    config.act_group_aware = false;
    if (fields.has("act_group_aware")) {
      config.notes.emplace_back("act_group_aware is off: it does not go with desc_act");
    }
  }
  return config;
}

Json GptqConfig::to_json() const {
  nlohmann::json object = fields_json();
  object["checkpoint_format"] = format;
  object["quant_method"] = kMethod;
  // Of other writers than transformers, which does not name them.
  if (static_groups) object["static_groups"] = true;
  if (!dynamic.empty()) object["dynamic"] = gptq_rules_json(dynamic);
  return object;
}

QuantizationFacts GptqConfig::facts() const {
  QuantizationFacts facts;
  facts.method = facts.scheme = kMethod;
  facts.format = format;
  facts.bits = static_cast<double>(bits);
  facts.group_size = group_size;
  facts.skip_list = QuantizationFacts::SkipList::kInsideBlocks;
  facts.converts_conv1d = facts.converts_subclasses = true;
  facts.blocks = block_name_to_quantize;
  if (modules_in_block_to_quantize) {
    facts.only.emplace();
    for (const std::vector<std::string>& stage : *modules_in_block_to_quantize) {
      facts.only->insert(facts.only->end(), stage.begin(), stage.end());
    }
  }
  return facts;
}

// qweight [cols * bits / 32, rows] and qzeros [groups, rows * bits / 32] int32, scales
// [groups, rows] float16, g_idx [cols] int32: all of them buffers.
PackedSize GptqConfig::packed_size(int64_t rows, int64_t cols) const {
  const int64_t group = group_size == -1 ? cols : group_size;
  const int64_t groups = block_count(cols, group);
  PackedSize size;
  size.bytes = 4 * (cols * bits / 32) * rows + 4 * groups * (rows * bits / 32) + 2 * groups * rows +
               4 * cols;
  size.float16_bias = true;
  size.bias_is_parameter = false;
  return size;
}

}  // namespace nibble
