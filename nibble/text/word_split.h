// SPDX-License-Identifier: Apache-2.0
//
// Pre-tokenizers that cut by what kind of character stands beside which: BertPreTokenizer,
// UnicodeScripts, FixedLength.
#pragma once

#include <cstdint>

#include "nibble/text/pretokenizer.h"
#include "nibble/text/reference_unicode.h"

namespace nibble {

// White space goes, punctuation stands alone.
class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(PreTokenized& input) const override;

 private:
  CharClass is_punctuation_{is_punctuation_v8};
};

// Cuts where the script changes. As in the reference, characters without a script in front of the
// first one with a script vanish, and so does a text that has none.
class UnicodeScripts : public PreTokenizer {
 public:
  void apply(PreTokenized& input) const override;
};

// Pieces of `length` characters, the last one shorter.
class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(int64_t length) : length_(length) {}  // above 0
  void apply(PreTokenized& input) const override;

 private:
  int64_t length_;
};

}  // namespace nibble
