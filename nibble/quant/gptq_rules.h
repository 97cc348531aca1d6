// SPDX-License-Identifier: Apache-2.0
//
// GPTQModel's "dynamic": rules of a config by which single modules have other bits or groups than
// the model, or stay plain. A rule is a regular expression for the start of a path, behind "-:"
// (plain) or, if it likes, "+:". Rules that leave modules plain come first, then the first that
// matches holds.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/config_fields.h"
#include "nibble/quant/module_pattern.h"

namespace nibble {

struct GptqRule {
  std::string pattern;  // without its prefix
  bool leaves_plain = false;
  std::optional<int64_t> bits, group_size;
  std::optional<bool> sym, desc_act;
};

// In the order in which they apply. Throws Error with the key for what is no object of such rules,
// and for bits and group sizes that GPTQ does not have. Keys of a rule that say how to calibrate
// are not kept.
std::vector<GptqRule> read_gptq_rules(ConfigFields& fields);

nlohmann::ordered_json gptq_rules_json(const std::vector<GptqRule>& rules);

// Rules by which just these modules have their bits: one for all that differ in the number of their
// block alone.
std::vector<GptqRule> gptq_rules_of_bits(const std::map<std::string, int64_t>& bits_of_modules);

// The rules, to be asked for modules.
class GptqRules {
 public:
  // Throws Error for a pattern that is no regular expression.
  explicit GptqRules(std::vector<GptqRule> rules);

  // The rule that holds for a module; null for none.
  const GptqRule* find(const std::string& module) const;

 private:
  std::vector<GptqRule> rules_;
  std::vector<ModulePattern> patterns_;
};

}  // namespace nibble
