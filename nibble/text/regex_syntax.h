// SPDX-License-Identifier: Apache-2.0
//
// tokenizer.json holds regular expressions in Oniguruma's syntax (its Ruby flavour). This rewrites
// one for PCRE2 so that both find the same matches; what cannot be said in PCRE2 is refused.
// Sources: Oniguruma's doc/RE and doc/SYNTAX.md; pcre2pattern(3).
#pragma once

#include <string>
#include <string_view>

namespace nibble {

// Throws Error naming the construct when it has no equal. What differs between the two:
//   \s \w \h      other sets of characters than PCRE2's (white space has no U+180E, words have
//                 marks, \h is a hexadecimal digit); likewise [:punct:] and its kin
//   \p{..} \d    Unicode 16 where PCRE2 has an older version (unicode_updates.h); a script's name
//                means Script, not Script_Extensions
//   ^ $           always at line ends; $ does not match behind a final line feed
//   (?m)          lets the dot match line feeds, which PCRE2 spells (?s)
//   [a[bc]] [a&&b]  unions and intersections of character classes
//   x{2,3}+       a repeated repetition, not a possessive one
std::string oniguruma_to_pcre2(std::string_view pattern);

}  // namespace nibble
