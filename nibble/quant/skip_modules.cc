// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/skip_modules.h"

#include <algorithm>
#include <set>

namespace nibble {
namespace {

// A component ends here, or ended one character ago.
constexpr const char* kBoundary = R"((?:(?<=\.)|(?=\.|$)))";

std::string without(std::string name, std::string_view suffix) {
  if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  return name;
}

std::vector<std::string> sorted(const std::set<std::string>& names) {
  return {names.begin(), names.end()};
}

bool matches_v4(std::string_view entry, std::string_view path) {
  const size_t dot = path.rfind('.');
  const std::string_view leaf = dot == std::string_view::npos ? path : path.substr(dot + 1);
  return path == entry || leaf == entry ||
         path.find(std::string(entry) + '.') != std::string_view::npos;
}

}  // namespace

std::vector<std::string> automatic_skip_modules(const ModelNames& names, HfRelease release) {
  std::set<std::string> list;
  for (const auto& [name, shared] : names.tied) list.insert({name, shared});
  const bool tied = !list.empty();
  if (release == HfRelease::kV4) {
    if (!tied && !names.output_embeddings.empty()) return {names.output_embeddings};
    list.insert(names.last_parameter);
    std::set<std::string> owners;
    for (const std::string& name : list) owners.insert(without(without(name, ".weight"), ".bias"));
    return sorted(owners);
  }
  if (!names.last_parameter.empty()) list.insert(names.last_parameter);
  if (!names.output_embeddings.empty()) list.insert(names.output_embeddings);
  std::set<std::string> modules;
  for (const std::string& name : list) modules.insert(without(name, ".weight"));
  return sorted(modules);
}

std::vector<std::string> modules_to_not_convert(const QuantizationFacts& facts,
                                                const ModelNames& names,
                                                const std::vector<std::string>& keep_in_fp32,
                                                HfRelease release) {
  using SkipList = QuantizationFacts::SkipList;
  std::set<std::string> list;
  const bool automatic = facts.skip_list == SkipList::kExtendsAutomatic ||
                         (facts.skip_list == SkipList::kReplacesAutomatic && !facts.skip_modules);
  if (automatic) {
    for (std::string& name : automatic_skip_modules(names, release)) list.insert(std::move(name));
  }
  if (facts.skip_modules) list.insert(facts.skip_modules->begin(), facts.skip_modules->end());
  if (facts.skip_list != SkipList::kNoAutomatic && facts.skip_list != SkipList::kInsideBlocks) {
    list.insert(keep_in_fp32.begin(), keep_in_fp32.end());
  }
  return sorted(list);
}

SkipMatcher::SkipMatcher(std::vector<std::string> entries, HfRelease release)
    : entries_(std::move(entries)) {
  if (release == HfRelease::kV4) return;
  patterns_.reserve(entries_.size());
  for (const std::string& entry : entries_) {
    patterns_.emplace_back(entry, kBoundary, "an entry of the list of skipped modules");
  }
}

bool SkipMatcher::skips(std::string_view path) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const bool match = patterns_.empty()
                           ? matches_v4(entries_[i], path)
                           : path.ends_with(entries_[i]) || patterns_[i].matches(path);
    if (match) return true;
  }
  return false;
}

}  // namespace nibble
