// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/grapheme.h"

#include <unicode/uchar.h>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

int break_class(char32_t c) {
  return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_GRAPHEME_CLUSTER_BREAK);
}

bool is_pictographic(char32_t c) {
  return c >= 0xA9 && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_EXTENDED_PICTOGRAPHIC);
}

bool is_control(int kind) { return kind == U_GCB_CONTROL || kind == U_GCB_CR || kind == U_GCB_LF; }

bool hangul_joins(int left, int right) {
  switch (left) {
    case U_GCB_L:
      return right == U_GCB_L || right == U_GCB_V || right == U_GCB_LV || right == U_GCB_LVT;
    case U_GCB_LV:
    case U_GCB_V:
      return right == U_GCB_V || right == U_GCB_T;
    case U_GCB_LVT:
    case U_GCB_T:
      return right == U_GCB_T;
    default:
      return false;
  }
}

}  // namespace

size_t grapheme_end(std::string_view text, size_t at) {
  char32_t c = next_code_point(text, at);
  int kind = break_class(c);
  // An emoji with its modifiers so far (GB11), and the number of regional indicators (GB12, GB13).
  bool emoji = is_pictographic(c), emoji_zwj = false;
  int indicators = kind == U_GCB_REGIONAL_INDICATOR ? 1 : 0;
  while (at < text.size()) {
    size_t after = at;
    c = next_code_point(text, after);
    const int next = break_class(c);
    const bool pictographic = is_pictographic(c);
    const bool joins = is_control(kind) || is_control(next)
                           ? kind == U_GCB_CR && next == U_GCB_LF
                           : hangul_joins(kind, next) || next == U_GCB_EXTEND ||
                                 next == U_GCB_ZWJ || next == U_GCB_SPACING_MARK ||
                                 kind == U_GCB_PREPEND || (emoji_zwj && pictographic) ||
                                 (next == U_GCB_REGIONAL_INDICATOR &&
                                  kind == U_GCB_REGIONAL_INDICATOR && indicators % 2 == 1);
    if (!joins) break;
    emoji_zwj = emoji && next == U_GCB_ZWJ;
    emoji = pictographic || (emoji && (next == U_GCB_EXTEND || next == U_GCB_ZWJ));
    if (next == U_GCB_REGIONAL_INDICATOR) ++indicators;
    kind = next;
    at = after;
  }
  return at;
}

}  // namespace nibble
