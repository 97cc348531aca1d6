// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/reference_unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/mark_order.h"
#include "nibble/text/unicode_updates.h"

namespace nibble {
namespace {

bool has_category(char32_t c, uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0;
}

// The major Unicode version that brought the character; 0 for unassigned ones.
int age_of(char32_t c) {
  UVersionInfo version;
  u_charAge(static_cast<UChar32>(c), version);
  return version[0];
}

struct Range {
  char32_t first, last;
};

bool in_ranges(const Range* begin, const Range* end, char32_t c) {
  return std::any_of(begin, end, [&](const Range& r) { return c >= r.first && c <= r.last; });
}

// Digits of Unicode 16 and 17, which ICU 72 lacks.
constexpr std::array<Range, 9> kNewDigits = {{{0x10D40, 0x10D49},
                                              {0x116D0, 0x116E3},
                                              {0x11BF0, 0x11BF9},
                                              {0x11DE0, 0x11DE9},
                                              {0x16130, 0x16139},
                                              {0x16D70, 0x16D79},
                                              {0x16FF4, 0x16FF6},
                                              {0x1CCF0, 0x1CCF9},
                                              {0x1E5F1, 0x1E5FA}}};

// Capitals of Unicode 16 and 17 in rows whose small letters lie at a fixed distance.
struct CaseRow {
  char32_t first, last;
  char32_t distance;
};
constexpr std::array<CaseRow, 2> kNewCaseRows = {
    {{0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}}};
constexpr std::array<std::pair<char32_t, char32_t>, 8> kNewCasePairs = {{{0x1C89, 0x1C8A},
                                                                         {0xA7CB, 0x264},
                                                                         {0xA7CC, 0xA7CD},
                                                                         {0xA7CE, 0xA7CF},
                                                                         {0xA7D2, 0xA7D3},
                                                                         {0xA7D4, 0xA7D5},
                                                                         {0xA7DA, 0xA7DB},
                                                                         {0xA7DC, 0x19B}}};

const icu::Normalizer2& icu_form(NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      found = icu::Normalizer2::getNFCInstance(status);
      break;
    case NormalForm::kNfd:
      found = icu::Normalizer2::getNFDInstance(status);
      break;
    case NormalForm::kNfkc:
      found = icu::Normalizer2::getNFKCInstance(status);
      break;
    case NormalForm::kNfkd:
      found = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  if (U_FAILURE(status)) {
    throw Error("ICU has no data for Unicode normalization").got(u_errorName(status));
  }
  return *found;
}

// The characters that Unicode 9 assigns, the only ones that its normal forms touch.
const icu::UnicodeSet& unicode_9() {
  static const icu::UnicodeSet set = [] {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet out(u"[:age=9.0:]", status);
    if (U_FAILURE(status)) throw Error("ICU has no data for ages").got(u_errorName(status));
    out.freeze();
    return out;
  }();
  return set;
}

}  // namespace

bool is_control_v8(char32_t c) {
  return has_category(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK) && age_of(c) <= 8;
}

bool is_punctuation_v8(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  if (c == 0x166D || c == 0x111C9) return true;
  return has_category(c, U_GC_P_MASK) && age_of(c) <= 8;
}

bool is_nonspacing_mark_v8(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;
  if (c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == 0x111C9) return false;
  return has_category(c, U_GC_MN_MASK) && age_of(c) <= 8;
}

bool is_combining_mark_v9(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  if (c == 0x111C9) return false;
  return has_category(c, U_GC_M_MASK) && age_of(c) <= 9;
}

bool is_numeric_v17(char32_t c) {
  if (has_category(c, U_GC_N_MASK)) return true;
  return c >= kNewDigits.front().first &&
         in_ranges(kNewDigits.data(), kNewDigits.data() + kNewDigits.size(), c);
}

bool is_word_v16(char32_t c) {
  if (is_word(c)) return true;
  if (c < 0x300) return false;
  static const std::vector<Range> fresh = [] {
    std::vector<Range> out;
    for (const PropertyRange& range : kNewProperties) {
      const std::string_view name = range.property;
      if (name == "Alphabetic" || name == "Nd" || name == "Pc" ||
          (name.size() == 2 && name[0] == 'M')) {
        out.push_back({range.first, range.last});
      }
    }
    return out;
  }();
  return in_ranges(fresh.data(), fresh.data() + fresh.size(), c);
}

char32_t simple_lower_case(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 0x20 : c;
  if (c == 0x130) return c;
  const auto lower = static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
  if (lower != c || c < 0x1C89) return lower;
  for (const auto& [capital, small] : kNewCasePairs) {
    if (c == capital) return small;
  }
  for (const CaseRow& row : kNewCaseRows) {
    if (c >= row.first && c <= row.last) return c + row.distance;
  }
  return c;
}

int32_t script_v9(char32_t c) {
  if (c == ' ') return kAnyScript;
  switch (c) {
    case 0x30FC:
      return USCRIPT_HAN;
    case 0x0589:
    case 0x061C:
    case 0x1CF2:
    case 0x1CF3:
      return USCRIPT_COMMON;
    default:
      break;
  }
  UErrorCode status = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(static_cast<UChar32>(c), &status);
  if (U_FAILURE(status) || script == USCRIPT_UNKNOWN || age_of(c) > 9) return kAnyScript;
  return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ? USCRIPT_HAN : script;
}

void apply_normal_form(NormalForm form, std::string& text) {
  if (std::all_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return;  // every form keeps ASCII
  }
  if (text.size() > INT32_MAX) throw Error("a text above 2 GiB cannot be normalized");
  order_long_mark_runs(text);
  const icu::Normalizer2& all = icu_form(form);
  const icu::FilteredNormalizer2 filtered(all, unicode_9());
  const auto size = static_cast<int32_t>(text.size());
  // The filter makes the work several times slower and is needed for rare characters only.
  const bool known = unicode_9().spanUTF8(text.data(), size, USET_SPAN_CONTAINED) == size;
  const icu::Normalizer2& used = known ? all : static_cast<const icu::Normalizer2&>(filtered);
  UErrorCode status = U_ZERO_ERROR;
  std::string out;
  icu::StringByteSink<std::string> sink(&out, size);
  used.normalizeUTF8(0, icu::StringPiece(text.data(), size), sink, nullptr, status);
  if (U_FAILURE(status)) {
    throw Error(std::string("Unicode normalization failed: ") + u_errorName(status));
  }
  text = std::move(out);
}

CharClass::CharClass(bool (*holds)(char32_t)) : holds_(holds) {
  for (char32_t c = 0; c < kKnown; ++c) known_[c] = holds(c);
}

}  // namespace nibble
