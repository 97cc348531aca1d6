// SPDX-License-Identifier: Apache-2.0
//
// Pre-tokenizers cut normalized text into the words that a model encodes one by one. Each is built
// from its object in tokenizer.json.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "nibble/text/pretokenized.h"

namespace nibble {

// The pattern that ByteLevel splits with: GPT-2's.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(PreTokenized& input) const = 0;
};

// BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation,
// Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit. Throws Error, naming `source` and
// the type, for any other type and for malformed objects.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& object,
                                                 const std::string& source);

}  // namespace nibble
