// SPDX-License-Identifier: Apache-2.0
#include "nibble/outline/outline.h"

#include <algorithm>

namespace nibble {

ModelNames ModelOutline::names() const {
  ModelNames names;
  names.output_embeddings = output_embeddings;
  for (const OutlineModule& module : modules) {
    if (module.kind == OutlineModule::Kind::kBuffer) continue;
    const bool bare = module.kind == OutlineModule::Kind::kParameter;
    const std::string weight = bare ? module.path : module.path + ".weight";
    if (module.tied_to.empty()) {
      names.last_parameter = weight;
    } else {
      names.tied.emplace_back(weight, module.tied_to);
    }
    if (module.bias == 0) continue;
    if (module.bias_tied_to.empty()) {
      names.last_parameter = module.path + ".bias";
    } else {
      names.tied.emplace_back(module.path + ".bias", module.bias_tied_to);
    }
  }
  return names;
}

bool ModelOutline::keeps_in_fp32(const std::string& name) const {
  return std::ranges::any_of(
      keep_in_fp32, [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

}  // namespace nibble
