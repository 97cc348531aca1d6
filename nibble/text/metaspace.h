// SPDX-License-Identifier: Apache-2.0
//
// The settings of Metaspace, which is both a pre-tokenizer (a space becomes U+2581, and a word
// starts with one) and a decoder (and back).
#pragma once

#include <string>

#include "nibble/text/component_config.h"

namespace nibble {

struct Metaspace {
  enum class Prepend { kAlways, kFirst, kNever };

  // Reads "replacement", "prepend_scheme" or the older "add_prefix_space", and "split".
  explicit Metaspace(const ComponentConfig& config);

  std::string replacement;  // one character as UTF-8
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};

}  // namespace nibble
