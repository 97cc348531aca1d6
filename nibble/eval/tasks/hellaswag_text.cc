// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/tasks/hellaswag_text.h"

#include <algorithm>

#include "nibble/text/jinja/text.h"

namespace nibble {
namespace {

std::string with_replaced(std::string_view text, std::string_view old, std::string_view by) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(old, at)) != std::string_view::npos;) {
    out.append(text.substr(at, found - at)).append(by);
    at = found + old.size();
  }
  return out.append(text.substr(at));
}

// Brackets that close on their own line; each from the first '[' that is open.
std::string without_brackets(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t open = std::min(text.find('['), text.size());
    out.append(text.substr(0, open));
    text.remove_prefix(open);
    if (text.empty()) break;
    const size_t end = text.find_first_of("]\n");
    const bool closes = end != std::string_view::npos && text[end] == ']';
    if (!closes) out.push_back('[');
    text.remove_prefix(closes ? end + 1 : 1);
  }
  return out;
}

}  // namespace

std::string hellaswag_text(std::string_view text) {
  const jinja::Text stripped =
      jinja::strip_left(jinja::strip_right(jinja::Text(std::string(text))));
  const std::string sentences = with_replaced(stripped.bytes(), " [title]", ". ");
  return with_replaced(without_brackets(sentences), "  ", " ");
}

std::string hellaswag_capitalized(std::string_view text) {
  return jinja::to_capitalized(jinja::Text(std::string(text))).bytes();
}

}  // namespace nibble
