// SPDX-License-Identifier: Apache-2.0
//
// English as it is written: the spaces go that tokenizers leave before punctuation and short forms
// ("do n't ." becomes "don't."). On whole texts and on texts that arrive in parts.
#pragma once

#include <string>
#include <string_view>

#include "nibble/text/token_filter.h"

namespace nibble {

// `expand_do_not`: also " do not" to " don't", as the WordPiece decoder of the tokenizers library
// has it and transformers' clean_up_tokenization has not.
std::string clean_up_spaces(std::string text, bool expand_do_not);

// Every occurrence, from left to right. An empty `from` stands before every character and at the
// end.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// Cleans up the text of all tokens together, and passes on what later text cannot change.
class CleanUpFilter : public TokenFilter {
 public:
  using TokenFilter::TokenFilter;
  void push(std::string_view part, bool ends_token) override;
  void finish() override;

 private:
  std::string held_;
};

}  // namespace nibble
