// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/bert_normalizer.h"

#include <utility>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

// The blocks of Chinese characters by BERT's own list (not those of kana and hangul).
bool is_chinese(char32_t c) {
  if (c < 0x3400) return false;
  return (c >= 0x4E00 && c <= 0x9FFF) || c <= 0x4DBF || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_space(char32_t c) {
  return c < 0x80 ? c == ' ' || (c >= '\t' && c <= '\r') : is_whitespace(c);
}

}  // namespace

BertNormalizer::BertNormalizer(const ComponentConfig& config)
    : clean_text_(config.flag("clean_text")),
      handle_chinese_chars_(config.flag("handle_chinese_chars")),
      strip_accents_(config.flag_or("strip_accents", config.flag("lowercase"))),
      lowercase_(config.flag("lowercase")) {}

// The steps that look at one character at a time and come before the marks.
bool BertNormalizer::clean(std::string& text) const {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  bool start_removed = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (clean_text_ && c != '\t' && c != '\n' && c != '\r' &&
        (c == 0 || c == 0xFFFD || is_control_(c))) {
      start_removed |= out.empty();
      continue;
    }
    if (clean_text_ && is_space(c)) {
      out += ' ';
    } else if (handle_chinese_chars_ && is_chinese(c)) {
      out += ' ';
      out.append(text, begin, at - begin);
      out += ' ';
    } else {
      out.append(text, begin, at - begin);
    }
  }
  text = std::move(out);
  return start_removed;
}

bool BertNormalizer::normalize(std::string& text) const {
  bool start_removed = false;
  if (clean_text_ || handle_chinese_chars_) start_removed = clean(text);
  if (strip_accents_) {
    apply_normal_form(NormalForm::kNfd, text);
    start_removed |= remove_characters(text, is_mark_);
  }
  if (lowercase_) lower_case(text);
  return start_removed;
}

}  // namespace nibble
