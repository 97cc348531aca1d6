// SPDX-License-Identifier: Apache-2.0
//
// BertNormalizer: control characters go, white space becomes a space, Chinese characters get
// spaces around them, accents are taken off and letters made small, each where the file asks.
#pragma once

#include <string>

#include "nibble/text/component_config.h"
#include "nibble/text/normalizer.h"
#include "nibble/text/reference_unicode.h"

namespace nibble {

class BertNormalizer : public Normalizer {
 public:
  // Reads "clean_text", "handle_chinese_chars", "strip_accents" (null: as "lowercase") and
  // "lowercase"; throws Error when one is missing or malformed.
  explicit BertNormalizer(const ComponentConfig& config);

  bool normalize(std::string& text) const override;

 private:
  bool clean(std::string& text) const;

  bool clean_text_, handle_chinese_chars_, strip_accents_, lowercase_;
  CharClass is_control_{is_control_v8}, is_mark_{is_nonspacing_mark_v8};
};

}  // namespace nibble
