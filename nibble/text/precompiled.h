// SPDX-License-Identifier: Apache-2.0
//
// SentencePiece's own normalization, as its models carry it: a double array trie (Yata et al. 2007)
// from character sequences to offsets into a text of replacements that end with NUL. Applied as the
// tokenizers library does it: to a grapheme of at most five bytes as a whole, where only the
// shortest matching prefix counts, else to each character.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/component_config.h"
#include "nibble/text/normalizer.h"

namespace nibble {

class Precompiled : public Normalizer {
 public:
  // Reads "precompiled_charsmap", base64 of: the trie's size in bytes (little-endian uint32), the
  // trie, the replacements. Throws Error when it is malformed.
  explicit Precompiled(const ComponentConfig& config);

  bool normalize(std::string& text) const override;

 private:
  std::optional<std::string_view> replacement(std::string_view key) const;

  std::vector<uint32_t> units_;
  std::string replacements_;       // valid UTF-8
  std::array<bool, 128> changes_;  // the ASCII characters that have replacements
};

}  // namespace nibble
