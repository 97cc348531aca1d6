// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq_rules.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kPlainPrefix = "-:", kOtherPrefix = "+:";
constexpr const char* kRulesKey = "dynamic";

GptqRule read_rule(const std::string& key, ConfigFields fields) {
  GptqRule rule;
  rule.leaves_plain = key.starts_with(kPlainPrefix);
  const bool prefixed = rule.leaves_plain || key.starts_with(kOtherPrefix);
  rule.pattern = prefixed ? key.substr(kOtherPrefix.size()) : key;
  fields.read("bits", rule.bits);
  if (rule.bits && *rule.bits != 2 && *rule.bits != 3 && *rule.bits != 4 && *rule.bits != 8) {
    throw fields.bad("bits", "2, 3, 4 or 8");
  }
  fields.read("group_size", rule.group_size);
  if (rule.group_size && *rule.group_size != -1 && *rule.group_size <= 0) {
    throw fields.bad("group_size", "-1 or at least 1");
  }
  const auto read_flag = [&](const char* name, std::optional<bool>& flag) {
    if (!fields.has(name)) return;
    flag.emplace();
    fields.read(name, *flag);
  };
  read_flag("sym", rule.sym);
  read_flag("desc_act", rule.desc_act);
  return rule;
}

template <typename T>
void add_to(Json& object, const char* key, const std::optional<T>& value) {
  if (value) object[key] = *value;
}

}  // namespace

std::vector<GptqRule> read_gptq_rules(ConfigFields& fields) {
  std::vector<GptqRule> rules;
  const Json* value = fields.value(kRulesKey);
  if (value == nullptr || value->is_null()) return rules;
  if (!value->is_object()) throw fields.bad(kRulesKey, "an object of rules, or null");
  const ConfigFields inside = fields.inside(kRulesKey);
  for (const auto& [key, rule] : value->items()) {
    if (!rule.is_object()) throw inside.bad(key.c_str(), "an object");
    rules.push_back(read_rule(key, inside.inside(key.c_str())));
  }
  std::ranges::stable_partition(rules, &GptqRule::leaves_plain);
  return rules;
}

Json gptq_rules_json(const std::vector<GptqRule>& rules) {
  Json object = Json::object();
  for (const GptqRule& rule : rules) {
    Json values = Json::object();
    add_to(values, "bits", rule.bits);
    add_to(values, "group_size", rule.group_size);
    add_to(values, "sym", rule.sym);
    add_to(values, "desc_act", rule.desc_act);
    const std::string_view prefix = rule.leaves_plain ? kPlainPrefix : kOtherPrefix;
    object.emplace(std::string(prefix) + rule.pattern, std::move(values));  // the first one holds
  }
  return object;
}

GptqRules::GptqRules(std::vector<GptqRule> rules) : rules_(std::move(rules)) {
  for (const GptqRule& rule : rules_) {
    patterns_.emplace_back(rule.pattern, "", "a rule of 'dynamic'");
  }
}

const GptqRule* GptqRules::find(const std::string& module) const {
  for (size_t i = 0; i < rules_.size(); ++i) {
    if (patterns_[i].matches(module)) return &rules_[i];
  }
  return nullptr;
}

}  // namespace nibble
