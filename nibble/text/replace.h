// SPDX-License-Identifier: Apache-2.0
//
// The Replace component, which serves both as a normalizer and as a decoder: every match of a
// pattern becomes a fixed text (no group references).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nibble/text/component_config.h"
#include "nibble/text/regex.h"

namespace nibble {

class Replacement {
 public:
  // Reads "pattern" and "content"; throws Error when they are malformed.
  explicit Replacement(const ComponentConfig& config);

  // `start_removed`, where given, becomes true when a match at the start is replaced by nothing.
  std::string apply(std::string_view text, bool* start_removed = nullptr) const;

 private:
  std::string needle_;  // when there is no regex_; not empty
  std::optional<Regex> regex_;
  std::string content_;
};

}  // namespace nibble
