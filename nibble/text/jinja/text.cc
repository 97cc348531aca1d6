// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/text.h"

#include <string.h>  // memmem
#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <utility>

#include "nibble/base/utf8.h"

namespace nibble::jinja {
namespace {

// Start of the code point that ends before `end`.
size_t previous_code_point(std::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

bool is_stripped(char32_t c, const std::string* characters) {
  if (!characters) return is_python_space(c);
  for (size_t at = 0; at < characters->size();) {
    if (next_code_point(*characters, at) == c) return true;
  }
  return false;
}

// Runs a mapping over each run of one origin, so that origins survive.
template <typename F>
Text map_runs(const Text& text, F map) {
  Text out;
  text.for_each_run([&](std::string_view run, TextOrigin origin) {
    const icu::UnicodeString wide = icu::UnicodeString::fromUTF8(
        icu::StringPiece(run.data(), static_cast<int32_t>(run.size())));
    std::string mapped;
    map(wide).toUTF8String(mapped);
    out.append(mapped, origin);
  });
  return out;
}

bool is_cased(char32_t c) {
  return u_isUUppercase(static_cast<UChar32>(c)) || u_isULowercase(static_cast<UChar32>(c)) ||
         u_istitle(static_cast<UChar32>(c));
}

// Whether the sigma at `at` ends a word: a letter before it and none behind, apostrophes and the
// like passed over.
bool is_final(const icu::UnicodeString& s, int32_t at) {
  const auto ignorable = [&](int32_t i) {
    return u_hasBinaryProperty(s.char32At(i), UCHAR_CASE_IGNORABLE) != 0;
  };
  const auto cased = [&](int32_t i) {
    return u_hasBinaryProperty(s.char32At(i), UCHAR_CASED) != 0;
  };
  int32_t before = at, after = s.moveIndex32(at, 1);
  do {
    if (before == 0) return false;
    before = s.moveIndex32(before, -1);
  } while (ignorable(before));
  while (after < s.length() && ignorable(after)) after = s.moveIndex32(after, 1);
  return cased(before) && (after == s.length() || !cased(after));
}

// The character at `at` in lower case, as it is written there.
icu::UnicodeString lowered(const icu::UnicodeString& s, int32_t at) {
  constexpr UChar32 kSigma = 0x3A3, kFinalSigma = 0x3C2;
  icu::UnicodeString one(s.char32At(at));
  if (s.char32At(at) == kSigma && is_final(s, at)) return {kFinalSigma};
  return one.toLower(icu::Locale::getRoot());
}

}  // namespace

Text::Text(std::string bytes, TextOrigin origin) : bytes_(std::move(bytes)) {
  mark(0, bytes_.size(), origin);
}

TextOrigin Text::origin() const {
  TextOrigin least = TextOrigin::kTemplate;
  for (const Span& span : spans_) least = std::max(least, span.origin);
  return least;
}

Text Text::as_markup() const {
  Text out = *this;
  out.markup_ = true;
  return out;
}

Text Text::as_plain() const {
  Text out = *this;
  out.markup_ = false;
  return out;
}

void Text::mark(size_t begin, size_t end, TextOrigin origin) {
  if (begin == end || origin == TextOrigin::kTemplate) return;
  if (!spans_.empty() && spans_.back().end == begin && spans_.back().origin == origin) {
    spans_.back().end = end;
  } else {
    spans_.push_back({begin, end, origin});
  }
}

void Text::append(const Text& other, size_t begin, size_t end) {
  const size_t base = bytes_.size();
  bytes_.append(other.bytes_, begin, end - begin);
  auto span = std::lower_bound(other.spans_.begin(), other.spans_.end(), begin,
                               [](const Span& s, size_t place) { return s.end <= place; });
  for (; span != other.spans_.end() && span->begin < end; ++span) {
    mark(base + std::max(span->begin, begin) - begin, base + std::min(span->end, end) - begin,
         span->origin);
  }
}

void Text::append(std::string_view bytes, TextOrigin origin) {
  const size_t base = bytes_.size();
  bytes_ += bytes;
  mark(base, bytes_.size(), origin);
}

Text Text::substr(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  out.markup_ = markup_;
  return out;
}

size_t length_in_code_points(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

size_t byte_offset(std::string_view text, size_t code_point_index) {
  size_t at = 0;
  while (code_point_index > 0 && at < text.size()) {
    at += utf8_length(text[at]);
    --code_point_index;
  }
  return std::min(at, text.size());
}

bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_python_word(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  return c == '_' || u_isalpha(code) ||
         u_getIntPropertyValue(code, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (u_charType(static_cast<UChar32>(c))) {
    case U_UNASSIGNED:
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}

Text strip_left(const Text& text, const std::string* characters) {
  const std::string& bytes = text.bytes();
  size_t begin = 0;
  while (begin < bytes.size()) {
    size_t next = begin;
    if (!is_stripped(next_code_point(bytes, next), characters)) break;
    begin = next;
  }
  return text.substr(begin, bytes.size());
}

Text strip_right(const Text& text, const std::string* characters) {
  const std::string& bytes = text.bytes();
  size_t end = bytes.size();
  while (end > 0) {
    const size_t begin = previous_code_point(bytes, end);
    size_t at = begin;
    if (!is_stripped(next_code_point(bytes, at), characters)) break;
    end = begin;
  }
  return text.substr(0, end);
}

Text to_upper(const Text& text) {
  return map_runs(text, [](icu::UnicodeString s) { return s.toUpper(icu::Locale::getRoot()); });
}

Text to_lower(const Text& text) {
  return map_runs(text, [](icu::UnicodeString s) { return s.toLower(icu::Locale::getRoot()); });
}

Text to_folded(const Text& text) {
  return map_runs(text, [](icu::UnicodeString s) { return s.foldCase(); });
}

Text to_swapped_case(const Text& text) {
  return map_runs(text, [](const icu::UnicodeString& s) {
    icu::UnicodeString out;
    for (int32_t at = 0; at < s.length(); at = s.moveIndex32(at, 1)) {
      const UChar32 code = s.char32At(at);
      icu::UnicodeString one(code);
      if (u_isUUppercase(code)) one = lowered(s, at);
      if (u_isULowercase(code)) one.toUpper(icu::Locale::getRoot());
      out += one;
    }
    return out;
  });
}

Text to_capitalized(const Text& text) {
  const size_t head = byte_offset(text.bytes(), 1);
  Text out = to_title(text.substr(0, head));
  const Text lower = to_lower(text);  // all of it: a sigma at the end of a word has its own form
  out.append(lower, to_lower(text.substr(0, head)).size(), lower.size());
  return out;
}

Text to_title(const Text& text) {
  Text out;
  bool inside_word = false;
  text.for_each_run([&](std::string_view run, TextOrigin origin) {
    std::string mapped;
    const auto s = icu::UnicodeString::fromUTF8(
        icu::StringPiece(run.data(), static_cast<int32_t>(run.size())));
    for (int32_t at = 0; at < s.length(); at = s.moveIndex32(at, 1)) {
      const UChar32 code = s.char32At(at);
      // One character may become several: the capital of U+00DF is "Ss".
      icu::UnicodeString one(code);
      if (inside_word) {
        one = lowered(s, at);
      } else {
        one.toTitle(nullptr, icu::Locale::getRoot(), U_TITLECASE_NO_LOWERCASE);
      }
      one.toUTF8String(mapped);
      inside_word = is_cased(static_cast<char32_t>(code));
    }
    out.append(mapped, origin);
  });
  return out;
}

Text escape_html(const Text& text) {
  Text out;
  text.for_each_run([&](std::string_view run, TextOrigin origin) {
    std::string escaped;
    for (char c : run) {
      switch (c) {
        case '&':
          escaped += "&amp;";
          break;
        case '<':
          escaped += "&lt;";
          break;
        case '>':
          escaped += "&gt;";
          break;
        case '\'':
          escaped += "&#39;";
          break;
        case '"':
          escaped += "&#34;";
          break;
        default:
          escaped += c;
      }
    }
    out.append(escaped, origin);
  });
  return out.as_markup();
}

Text escape(const Text& text) { return text.is_markup() ? text : escape_html(text); }

size_t find_bytes(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  if (needle.size() == 1) return text.find(needle[0], from);
  const void* hit = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (!hit) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(hit) - text.data());
}

}  // namespace nibble::jinja
