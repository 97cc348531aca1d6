// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/skip_modules.h"

#include <algorithm>

namespace nibble {
namespace {

bool names(std::string_view key, std::string_view path) {
  if (key.empty()) return false;
  if (path == key) return true;
  const size_t dot = path.rfind('.');
  if (dot != std::string_view::npos && path.substr(dot + 1) == key) return true;
  return path.find(std::string(key) + '.') != std::string_view::npos ||
         path.ends_with('.' + std::string(key));
}

void add_once(std::vector<std::string>& list, std::string name) {
  if (std::ranges::find(list, name) == list.end()) list.push_back(std::move(name));
}

// "model.norm.weight" is owned by "model.norm".
std::string owner_of(const ModuleInfo& module) {
  if (module.kind != ModuleInfo::Kind::kParameter) return module.name;
  return module.name.substr(0, module.name.rfind('.'));
}

}  // namespace

bool convert_module(std::string_view path, const std::vector<std::string>& skip_modules) {
  return std::ranges::none_of(skip_modules,
                              [path](const std::string& key) { return names(key, path); });
}

std::vector<std::string> automatic_skip_modules(const std::vector<ModuleInfo>& modules) {
  std::vector<std::string> list;
  for (const ModuleInfo& module : modules) {
    if (module.tied_to.empty()) continue;
    add_once(list, module.name);
    add_once(list, module.tied_to);
  }
  // A tied module owns no parameter of its own. The output embedding of an untied model is the
  // last module, so it owns the last one.
  const auto last = std::find_if(modules.rbegin(), modules.rend(),
                                 [](const ModuleInfo& m) { return m.tied_to.empty(); });
  if (last != modules.rend()) add_once(list, owner_of(*last));
  return list;
}

}  // namespace nibble
