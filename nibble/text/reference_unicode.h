// SPDX-License-Identifier: Apache-2.0
//
// Characters as the tokenizers library 0.23 knows them. Its parts carry tables of different Unicode
// versions: 8.0 for categories, 9.0 for normal forms, marks and scripts, 16.0 for words, 17.0 for
// case and digits. ICU's properties are cut to, or completed up to, these versions; the few
// characters whose property changed later are listed.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace nibble {

bool is_control_v8(char32_t c);          // categories Cc, Cf, Co
bool is_punctuation_v8(char32_t c);      // ASCII punctuation and symbols, categories P*
bool is_nonspacing_mark_v8(char32_t c);  // category Mn
bool is_combining_mark_v9(char32_t c);   // categories M*
bool is_numeric_v17(char32_t c);         // categories N*
bool is_word_v16(char32_t c);            // is_word() with the characters that came later
char32_t simple_lower_case(char32_t c);  // U+0130, which becomes two characters, stays as it is

// The script's number; Hiragana, Katakana and U+30FC count as Han. kAnyScript for a space and for
// characters without a script.
inline constexpr int32_t kAnyScript = -1;
int32_t script_v9(char32_t c);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// Rewrites valid UTF-8. Throws Error for texts above 2 GiB.
void apply_normal_form(NormalForm form, std::string& text);

// A predicate with its answers for the common characters at hand.
class CharClass {
 public:
  explicit CharClass(bool (*holds)(char32_t));
  bool operator()(char32_t c) const { return c < kKnown ? known_[c] : holds_(c); }

 private:
  static constexpr char32_t kKnown = 0x2100;  // alphabets and general punctuation
  bool (*holds_)(char32_t);
  std::array<bool, kKnown> known_;
};

}  // namespace nibble
