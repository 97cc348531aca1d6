// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/module_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Honest patterns need a few dozen steps for a path.
constexpr uint32_t kMostMatchSteps = 100'000;

}  // namespace

struct ModulePattern::Program {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };

  std::unique_ptr<pcre2_code, Free> code;
};

ModulePattern::ModulePattern(std::string expression, std::string_view behind, std::string what)
    : expression_(std::move(expression)),
      what_(std::move(what)),
      program_(std::make_unique<Program>()) {
  const std::string pattern = "(?:" + expression_ + ")" + std::string(behind);
  int failure = 0;
  size_t at = 0;
  program_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                     PCRE2_UTF | PCRE2_ANCHORED, &failure, &at, nullptr));
  if (program_->code) return;
  std::array<PCRE2_UCHAR, 128> text{};
  pcre2_get_error_message(failure, text.data(), text.size());
  throw Error(what_ + " is no regular expression")
      .expected("the name of a module or a pattern for it")
      .got('"' + expression_ + '"')
      .hint(reinterpret_cast<const char*>(text.data()));
}

ModulePattern::~ModulePattern() = default;
ModulePattern::ModulePattern(ModulePattern&&) noexcept = default;
ModulePattern& ModulePattern::operator=(ModulePattern&&) noexcept = default;

bool ModulePattern::matches(std::string_view path) const {
  const std::unique_ptr<pcre2_match_context, Program::Free> limits(
      pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_match_data, Program::Free> data(
      pcre2_match_data_create_from_pattern(program_->code.get(), nullptr));
  pcre2_set_match_limit(limits.get(), kMostMatchSteps);
  const int result = pcre2_match(program_->code.get(), reinterpret_cast<PCRE2_SPTR>(path.data()),
                                 path.size(), 0, 0, data.get(), limits.get());
  if (result >= 0) return true;
  if (result == PCRE2_ERROR_NOMATCH) return false;
  throw Error(what_ + " cannot be matched")
      .expected("a pattern that does not backtrack without end")
      .got('"' + expression_ + '"');
}

}  // namespace nibble
