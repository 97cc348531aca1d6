// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/skip_modules.h"

namespace nibble {

ModelNames names_of(const std::vector<ModuleInfo>& modules) {
  ModelNames names;
  for (const ModuleInfo& module : modules) {
    const bool parameter = module.kind == ModuleInfo::Kind::kParameter;
    if (module.kind == ModuleInfo::Kind::kLinear) names.output_embeddings = module.name;
    if (!module.tied_to.empty()) {
      names.tied.emplace_back(module.name + ".weight", module.tied_to + ".weight");
    } else {
      names.last_parameter =
          parameter ? module.name : module.name + (module.bias ? ".bias" : ".weight");
    }
  }
  return names;
}

}  // namespace nibble
