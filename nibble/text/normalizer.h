// SPDX-License-Identifier: Apache-2.0
//
// Normalizers rewrite text before it is split: Unicode forms, case, replaced or added characters.
// Each is built from its object in tokenizer.json. Text in and out is valid UTF-8. Unicode data is
// ICU's (15.0 in ICU 72); the tokenizers library has older tables for the forms and newer ones for
// lower case, so some 200 rare characters added to Unicode since version 9 differ.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace nibble {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void normalize(std::string& text) const = 0;
};

// NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Sequence. Throws Error, naming `source`
// and the type, for any other type and for malformed objects.
std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& object,
                                            const std::string& source);

}  // namespace nibble
