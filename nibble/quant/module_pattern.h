// SPDX-License-Identifier: Apache-2.0
//
// A regular expression of a config, matched against the path of a module from its start on, as
// Python's re.match does. Configs are hostile: a pattern that backtracks without end is an error.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace nibble {

class ModulePattern {
 public:
  // `behind`: a pattern that has to match behind the expression. `what` is named in errors: "an
  // entry of the list". Throws Error for what is no regular expression.
  ModulePattern(std::string expression, std::string_view behind, std::string what);
  ~ModulePattern();
  ModulePattern(ModulePattern&&) noexcept;
  ModulePattern& operator=(ModulePattern&&) noexcept;

  // Throws Error when the expression backtracks without end.
  bool matches(std::string_view path) const;

 private:
  struct Program;
  std::string expression_, what_;
  std::unique_ptr<Program> program_;
};

}  // namespace nibble
