// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/skip_modules.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <set>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// A component ends here, or ended one character ago.
constexpr const char* kBoundary = R"((?:(?<=\.)|(?=\.|$)))";
// Honest patterns need a few dozen steps for a path.
constexpr uint32_t kMostSteps = 100'000;

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

struct SkipMatcher::Program {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };

  std::unique_ptr<pcre2_code, Free> code;

  explicit Program(const std::string& entry) {
    const std::string pattern = "(?:" + entry + ")" + kBoundary;
    int failure = 0;
    size_t at = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             PCRE2_UTF | PCRE2_ANCHORED, &failure, &at, nullptr));
    if (code) return;
    std::array<PCRE2_UCHAR, 128> text{};
    pcre2_get_error_message(failure, text.data(), text.size());
    throw Error("an entry of the list of skipped modules is no regular expression")
        .expected("the name of a module or a pattern for it")
        .got('"' + entry + '"')
        .hint(reinterpret_cast<const char*>(text.data()));
  }

  bool matches(std::string_view path, const std::string& entry) const {
    const std::unique_ptr<pcre2_match_context, Free> limits(pcre2_match_context_create(nullptr));
    const std::unique_ptr<pcre2_match_data, Free> data(
        pcre2_match_data_create_from_pattern(code.get(), nullptr));
    pcre2_set_match_limit(limits.get(), kMostSteps);
    const int result = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(path.data()),
                                   path.size(), 0, 0, data.get(), limits.get());
    if (result >= 0) return true;
    if (result == PCRE2_ERROR_NOMATCH) return false;
    throw Error("an entry of the list of skipped modules cannot be matched")
        .expected("a pattern that does not backtrack without end")
        .got('"' + entry + '"');
  }
};

SkipMatcher::SkipMatcher(std::vector<std::string> entries, HfRelease release)
    : entries_(std::move(entries)) {
  if (release == HfRelease::kV4) return;
  programs_.reserve(entries_.size());
  for (const std::string& entry : entries_) programs_.emplace_back(entry);
}

SkipMatcher::~SkipMatcher() = default;
SkipMatcher::SkipMatcher(SkipMatcher&&) noexcept = default;
SkipMatcher& SkipMatcher::operator=(SkipMatcher&&) noexcept = default;

bool SkipMatcher::skips(std::string_view path) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const bool match = programs_.empty()
                           ? matches_v4(entries_[i], path)
                           : path.ends_with(entries_[i]) || programs_[i].matches(path, entries_[i]);
    if (match) return true;
  }
  return false;
}

}  // namespace nibble
