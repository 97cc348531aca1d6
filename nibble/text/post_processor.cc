// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/post_processor.h"

#include <nlohmann/json.hpp>

#include "nibble/text/component_config.h"

namespace nibble {
namespace {

int32_t read_id(const nlohmann::json& value, const ComponentConfig& config) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > INT32_MAX) {
    throw config.error("has a token id that is no id");
  }
  return value.get<int32_t>();
}

// The ids of one {"SpecialToken": {"id": name}} by the table in "special_tokens".
void append_special(std::vector<int32_t>& ids, const nlohmann::json& piece,
                    const nlohmann::json& table, const ComponentConfig& config) {
  if (!piece.is_object() || !piece.contains("id") || !piece["id"].is_string()) {
    throw config.error("has a malformed SpecialToken");
  }
  const auto name = piece["id"].get<std::string>();
  const auto entry = table.find(name);
  if (entry == table.end() || !entry->is_object() || !entry->contains("ids") ||
      !(*entry)["ids"].is_array()) {
    throw config.error("uses a special token that it does not define").got(name);
  }
  for (const auto& id : (*entry)["ids"]) ids.push_back(read_id(id, config));
}

SpecialIds read_template(const ComponentConfig& config) {
  const nlohmann::json& table = config.member("special_tokens");
  if (!table.is_object()) throw config.error("has special_tokens that are no object");
  SpecialIds out;
  bool seen_text = false;
  for (const auto& piece : config.list("single")) {
    if (piece.is_object() && piece.contains("SpecialToken")) {
      append_special(seen_text ? out.after : out.before, piece["SpecialToken"], table, config);
    } else if (piece.is_object() && piece.contains("Sequence") && !seen_text) {
      seen_text = true;
    } else {
      throw config.error(
          "has a template that is not: special tokens, the text once, special tokens");
    }
  }
  if (!seen_text) throw config.error("has a template without the text");
  return out;
}

// ["</s>", 2]
int32_t read_token_pair(const ComponentConfig& config, const char* key) {
  const nlohmann::json& pair = config.list(key);
  if (pair.size() != 2) throw config.error(std::string("has a malformed \"") + key + "\"");
  return read_id(pair[1], config);
}

}  // namespace

SpecialIds read_post_processor(const nlohmann::json& object, const std::string& source) {
  const ComponentConfig config(object, "post_processor", source);
  const std::string& type = config.type();
  if (type == "TemplateProcessing") return read_template(config);
  if (type == "ByteLevel") return {};  // trims offsets only
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    return {{read_token_pair(config, "cls")}, {read_token_pair(config, "sep")}};
  }
  if (type == "Sequence") {
    SpecialIds out;  // each step wraps what the steps before it made
    for (const auto& step : config.list("processors")) {
      SpecialIds inner = read_post_processor(step, source);
      out.before.insert(out.before.begin(), inner.before.begin(), inner.before.end());
      out.after.insert(out.after.end(), inner.after.begin(), inner.after.end());
    }
    return out;
  }
  throw config.unsupported();
}

}  // namespace nibble
