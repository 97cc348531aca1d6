// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
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

// Names of modules have letters, digits, "_" and "." alone; of these the last means something in an
// expression.
std::string escaped(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (c == '.') text += '\\';
    text += c;
  }
  return text;
}

// A path around the number of its block: {"model.layers.", "3", ".mlp.up_proj"}; the last two are
// empty where there is none.
struct NumberedPath {
  std::string before, number, behind;
};

NumberedPath numbered(const std::string& path) {
  constexpr const char* kDigits = "0123456789";
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    const size_t end = path.find('.', dot + 1);
    if (end == path.npos) break;
    const std::string part = path.substr(dot + 1, end - dot - 1);
    if (part.empty() || part.find_first_not_of(kDigits) != part.npos) continue;
    return {path.substr(0, dot + 1), part, path.substr(end)};
  }
  return {path, "", ""};
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

std::vector<GptqRule> gptq_rules_of_bits(const std::map<std::string, int64_t>& bits_of_modules) {
  std::map<std::tuple<int64_t, std::string, std::string>, std::vector<std::string>> numbers;
  for (const auto& [module, bits] : bits_of_modules) {
    const NumberedPath path = numbered(module);
    numbers[{bits, path.before, path.behind}].push_back(path.number);
  }
  std::vector<GptqRule> rules;
  for (const auto& [key, blocks] : numbers) {
    const auto& [bits, before, behind] = key;
    const std::string choice = behind.empty() ? "" : fmt::format("(?:{})", fmt::join(blocks, "|"));
    GptqRule& rule = rules.emplace_back();
    rule.pattern = escaped(before) + choice + escaped(behind) + '$';
    rule.bits = bits;
  }
  return rules;
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
