// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/mark_order.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

// Shorter runs are left to ICU.
constexpr size_t kLongRun = 32;

struct Mark {
  char32_t code;
  uint8_t combining_class;
};

// Appends the mark, or the two marks of the three that decompose into such though they have no
// combining class of their own. False for every other character.
bool append_mark(char32_t c, std::vector<Mark>& marks) {
  if (c < 0x300) return false;
  const auto code = static_cast<UChar32>(c);
  if ((U_GET_GC_MASK(code) & U_GC_M_MASK) == 0) return false;
  if (c == 0xF73 || c == 0xF75 || c == 0xF81) {
    const char32_t vowel = c == 0xF73 ? 0xF72 : c == 0xF75 ? 0xF74 : 0xF80;
    return append_mark(0xF71, marks) && append_mark(vowel, marks);
  }
  const uint8_t combining_class = u_getCombiningClass(code);
  if (combining_class == 0) return false;
  UVersionInfo age;
  u_charAge(code, age);
  if (age[0] > 9) return false;
  marks.push_back({c, combining_class});
  return true;
}

}  // namespace

void order_long_mark_runs(std::string& text) {
  std::string out;
  size_t copied = 0;  // bytes of `text` that are in `out`
  std::vector<Mark> marks;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    marks.clear();
    size_t end = at;
    while (at < text.size() && append_mark(next_code_point(text, at), marks)) end = at;
    if (marks.size() <= kLongRun) continue;
    std::stable_sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    out.append(text, copied, begin - copied);
    for (const Mark& mark : marks) append_utf8(out, mark.code);
    copied = end;
  }
  if (copied == 0) return;
  out.append(text, copied);
  text = std::move(out);
}

}  // namespace nibble
