// SPDX-License-Identifier: Apache-2.0
//
// Normalizers rewrite text before it is split: Unicode forms, case, replaced or added characters.
// Each is built from its object in tokenizer.json. Text in and out is valid UTF-8. Which characters
// they know is said in reference_unicode.h.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>

#include "nibble/base/utf8.h"

namespace nibble {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // True when characters at the start of the text were taken away without a substitute: then what
  // follows no longer counts as the start of the original text.
  virtual bool normalize(std::string& text) const = 0;
};

// BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace,
// Sequence, Strip, StripAccents. Throws Error, naming `source` and the type, for any other type and
// for malformed objects.
std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& object,
                                            const std::string& source);

// Character by character and without context, as Rust's char::to_lowercase.
void lower_case(std::string& text);

// Takes out the characters for which `unwanted(code point)` holds; true when the first was one.
template <class Predicate>
bool remove_characters(std::string& text, Predicate&& unwanted) {
  size_t kept = 0;
  bool start_removed = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (unwanted(next_code_point(text, at))) {
      start_removed |= begin == 0;
    } else {
      for (size_t i = begin; i < at; ++i) text[kept++] = text[i];
    }
  }
  text.resize(kept);
  return start_removed;
}

}  // namespace nibble
