// SPDX-License-Identifier: Apache-2.0
//
// Matches the arguments of a call with the parameters of a built-in function, by Python's rules,
// and reads them as plain types.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

class BoundArguments {
 public:
  // Throws for too many, unknown, doubled and, among the first `required`, missing arguments.
  BoundArguments(std::string_view function, const Arguments& given,
                 std::initializer_list<std::string_view> parameters, size_t required = 0)
      : function_(function), values_(parameters.size()) {
    if (given.positional.size() > parameters.size()) {
      throw Error(fmt::format("{} takes at most {} arguments", function, parameters.size()));
    }
    for (size_t i = 0; i < given.positional.size(); ++i) values_[i] = &given.positional[i];
    for (const auto& [name, value] : given.named) {
      size_t place = 0;
      for (const std::string_view parameter : parameters) {
        if (parameter == name.bytes()) break;
        ++place;
      }
      if (place == values_.size()) {
        throw Error(fmt::format("{} takes no argument '{}'", function, name.bytes()));
      }
      if (values_[place]) throw Error(fmt::format("{} got '{}' twice", function, name.bytes()));
      values_[place] = &value;
    }
    for (size_t i = 0; i < required; ++i) {
      if (!values_[i]) throw Error(fmt::format("{} misses argument {}", function, i + 1));
    }
  }

  // Refers to the arguments, which must stay.
  BoundArguments(std::string_view, const Arguments&&, std::initializer_list<std::string_view>,
                 size_t = 0) = delete;

  // Null when not given.
  const Value* operator[](size_t i) const { return values_[i]; }
  // Null when not given or none.
  const Value* given(size_t i) const {
    return values_[i] && !values_[i]->is_none() ? values_[i] : nullptr;
  }

  bool flag(size_t i, bool fallback = false) const {
    return values_[i] ? truthy(*values_[i]) : fallback;
  }
  int64_t integer(size_t i, int64_t fallback) const {
    if (!values_[i]) return fallback;
    require_defined(*values_[i]);
    if (const auto value = as_integer(*values_[i])) return *value;
    throw Error(fmt::format("{} needs an integer, not {}", function_, type_name(*values_[i])));
  }
  const Text& text(size_t i) const {
    if (const Text* text = values_[i]->text()) return *text;
    require_defined(*values_[i]);
    throw Error(fmt::format("{} needs a string, not {}", function_, type_name(*values_[i])));
  }

 private:
  std::string_view function_;
  std::vector<const Value*> values_;
};

}  // namespace nibble::jinja
