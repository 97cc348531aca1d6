// SPDX-License-Identifier: Apache-2.0
//
// The string of the template engine: valid UTF-8 that remembers, byte for byte, whether it stems
// from the template, the model or a user. Every string operation is built from `substr` and
// `append`, so the marks survive concatenation, slicing, splitting and replacing. Positions are
// byte offsets; the functions that count in Python's unit, code points, say so.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja/origin.h"

namespace nibble::jinja {

class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes, TextOrigin origin = TextOrigin::kTemplate);

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  TextOrigin origin() const;  // of the bytes that are trusted least

  // Markup is what |safe and |escape return: text that need not be escaped again.
  bool is_markup() const { return markup_; }
  Text as_markup() const;
  Text as_plain() const;

  void append(const Text& other) { append(other, 0, other.size()); }
  void append(const Text& other, size_t begin, size_t end);  // other.substr(begin, end)
  void append(std::string_view bytes, TextOrigin origin = TextOrigin::kTemplate);
  Text substr(size_t begin, size_t end) const;

  // The text as maximal runs of one origin, in order: f(std::string_view run, TextOrigin).
  template <typename F>
  void for_each_run(F f) const {
    const std::string_view all = bytes_;
    size_t at = 0;
    for (const Span& span : spans_) {
      if (span.begin > at) f(all.substr(at, span.begin - at), TextOrigin::kTemplate);
      f(all.substr(span.begin, span.end - span.begin), span.origin);
      at = span.end;
    }
    if (at < all.size()) f(all.substr(at), TextOrigin::kTemplate);
  }

 private:
  struct Span {
    size_t begin, end;
    TextOrigin origin;
  };
  void mark(size_t begin, size_t end, TextOrigin origin);

  std::string bytes_;
  std::vector<Span> spans_;  // what is not the template's: sorted, disjoint, not empty, maximal
  bool markup_ = false;
};

// Number of code points: Python's len().
size_t length_in_code_points(std::string_view text);

// Byte offset of the code point with this index; text.size() when there are fewer.
size_t byte_offset(std::string_view text, size_t code_point_index);

// What Python's str.strip, str.split and str.isspace call whitespace.
bool is_python_space(char32_t c);

// What \w finds in Python: letters, numbers of all kinds and '_'.
bool is_python_word(char32_t c);

// What repr() of a string shows as itself: str.isprintable().
bool is_printable(char32_t c);

Text strip_left(const Text& text, const std::string* characters = nullptr);
Text strip_right(const Text& text, const std::string* characters = nullptr);

// Full Unicode case mapping, each run of one origin by itself.
Text to_upper(const Text& text);
Text to_lower(const Text& text);
Text to_capitalized(const Text& text);
Text to_swapped_case(const Text& text);
Text to_folded(const Text& text);  // str.casefold()
Text to_title(const Text& text);   // str.title(): a capital after every character without case

// &, <, >, ' and " as HTML entities, as markup; escape() leaves markup as it is.
Text escape_html(const Text& text);
Text escape(const Text& text);

// The position of `needle` at or after `from`, npos when absent, in linear time whatever the input.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from);

}  // namespace nibble::jinja
