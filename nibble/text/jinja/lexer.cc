// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/jinja/text.h"

namespace nibble::jinja {
namespace {

using Kind = Token::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Every line break becomes \n, and one at the very end is dropped.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize(repair_utf8(source))) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_text();
    push(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("line {}: {}", line_, what));
  }

  void push(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  bool at(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }

  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  size_t skip_space(size_t from) const {
    while (from < source_.size()) {
      size_t next = from;
      if (!is_python_space(next_code_point(source_, next))) break;
      from = next;
    }
    return from;
  }

  // '-', '+' or 0.
  char sign_at(size_t place) const {
    const char c = place < source_.size() ? source_[place] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  // The text from at_ up to the tag at `tag`, stripped as the tag's sign and lstrip_blocks say.
  void push_data(size_t tag, char sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    std::string kept(text);
    if (sign == '-') {
      kept = strip_right(Text(std::string(text))).bytes();
    } else if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line_start > 0 || line_starting_) && skip_space(at_ + line_start) >= tag) {
        kept.resize(line_start);
      }
    }
    if (!kept.empty()) push(Kind::kData, std::move(kept));
    advance(tag);
  }

  // Moves behind a tag's end at `end`: "-%}" takes all white space after it, "%}" of a block or
  // comment one line break (trim_blocks), "+%}" nothing.
  void leave_tag(size_t end, bool trims_newline) {
    const char sign = sign_at(end);
    size_t next = end + (sign ? 3 : 2);
    if (sign == '-') {
      next = skip_space(next);
    } else if (!sign && trims_newline && next < source_.size() && source_[next] == '\n') {
      ++next;
    }
    line_starting_ = source_[next - 1] == '\n';
    advance(next);
  }

  void lex_text() {
    size_t tag = at_;
    while ((tag = source_.find('{', tag)) != std::string::npos) {
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') break;
      ++tag;
    }
    if (tag == std::string::npos) {
      push(Kind::kData, source_.substr(at_));
      return advance(source_.size());
    }
    const char opener = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    push_data(tag, sign, opener == '{');
    const size_t inside = tag + 2 + (sign ? 1 : 0);
    if (opener == '#') return skip_comment(inside);
    if (opener == '%') {
      if (const auto body = raw_body(inside)) return lex_raw(*body);
    }
    push(opener == '%' ? Kind::kBlockBegin : Kind::kVariableBegin, "");
    advance(inside);
    lex_tag(opener == '%');
  }

  void skip_comment(size_t inside) {
    size_t end = source_.find("#}", inside);
    if (end == std::string::npos) fail("a comment is not closed");
    if (end > inside && sign_at(end - 1)) --end;
    leave_tag(end, true);
  }

  // Where a tag of just this word ends, if one stands at `place`: the offset of its "%}" with sign.
  std::optional<size_t> lone_word(size_t place, std::string_view word) const {
    place = skip_space(place);
    if (source_.compare(place, word.size(), word) != 0) return std::nullopt;
    place = skip_space(place + word.size());
    const size_t end = place + (sign_at(place) ? 1 : 0);
    if (source_.compare(end, 2, "%}") != 0) return std::nullopt;
    return place;
  }

  std::optional<size_t> raw_body(size_t inside) const {
    const auto end = lone_word(inside, "raw");
    if (!end || sign_at(*end) == '+') return std::nullopt;
    return end;
  }

  void lex_raw(size_t tag_end) {
    leave_tag(tag_end, false);
    for (size_t tag = at_; (tag = source_.find("{%", tag)) != std::string::npos; ++tag) {
      const char sign = sign_at(tag + 2);
      const auto end = lone_word(tag + 2 + (sign ? 1 : 0), "endraw");
      if (!end) continue;
      push_data(tag, sign, false);
      return leave_tag(*end, true);
    }
    fail("a raw block is not closed");
  }

  void lex_tag(bool is_block) {
    const std::string_view closer = is_block ? "%}" : "}}";
    std::string brackets;  // the closing brackets that are due
    while (at_ < source_.size()) {
      if (brackets.empty()) {
        const char sign = sign_at(at_);
        const bool signed_end =
            sign && (is_block || sign == '-') && source_.compare(at_ + 1, 2, closer) == 0;
        if (signed_end || at(closer)) {
          push(is_block ? Kind::kBlockEnd : Kind::kVariableEnd, "");
          return leave_tag(at_, is_block);
        }
      }
      if (const size_t next = skip_space(at_); next > at_) {
        advance(next);
      } else if (!lex_number() && !lex_name() && !lex_string()) {
        lex_operator(brackets);
      }
    }
  }

  // Digits with single underscores between them, from `place`; `place` when there are none.
  template <typename IsDigit>
  size_t digits(size_t place, IsDigit is_wanted) const {
    size_t end = place;
    while (end < source_.size()) {
      const size_t next = end > place && source_[end] == '_' ? end + 1 : end;
      if (next >= source_.size() || !is_wanted(source_[next])) break;
      end = next + 1;
    }
    return end;
  }

  bool lex_number() {
    if (!is_digit(source_[at_])) return false;
    size_t end = digits(at_, is_digit);
    bool is_float = false;
    if (at_ == 0 || source_[at_ - 1] != '.') {
      if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
        end = digits(end + 1, is_digit);
        is_float = true;
      }
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        const size_t power = end + 1 + (sign_at(end + 1) ? 1 : 0);
        if (const size_t stop = digits(power, is_digit); stop > power) {
          end = stop;
          is_float = true;
        }
      }
    }
    if (!is_float && source_[at_] == '0') end = zero_or_based_end();
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    push(is_float ? Kind::kFloat : Kind::kInteger, std::move(text));
    advance(end);
    return true;
  }

  // 0x1F, 0b1, 0o7, or zeros only: as in Python, 012 is not a number.
  size_t zero_or_based_end() const {
    const char base = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
    const size_t first = at_ + 2 + (at_ + 2 < source_.size() && source_[at_ + 2] == '_' ? 1 : 0);
    const int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 0;
    if (radix) {
      const auto in_radix = [&](char c) { return hex_digit(c) >= 0 && hex_digit(c) < radix; };
      if (const size_t end = digits(first, in_radix); end > first) return end;
    }
    return digits(at_, [](char c) { return c == '0'; });
  }

  bool lex_name() {
    size_t end = at_;
    while (end < source_.size()) {
      size_t next = end;
      const char32_t c = next_code_point(source_, next);
      const bool ascii_word = c == '_' || (c < 0x80 && isalnum(static_cast<int>(c)));
      if (!ascii_word && (c < 0x80 || !is_word(c))) break;
      end = next;
    }
    if (end == at_) return false;
    push(Kind::kName, source_.substr(at_, end - at_));
    advance(end);
    return true;
  }

  bool lex_string() {
    const char quote = source_[at_];
    if (quote != '\'' && quote != '"') return false;
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("a string is not closed");
    push(Kind::kString, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
    return true;
  }

  std::string unescape(std::string_view raw) const {
    static constexpr std::string_view kLetters = "ntrabfv\\'\"";
    static constexpr std::string_view kMeanings = "\n\t\r\a\b\f\v\\'\"";
    std::string out;
    for (size_t i = 0; i < raw.size();) {
      if (raw[i] != '\\') {
        out += raw[i++];
        continue;
      }
      const char letter = raw[i + 1];
      i += 2;
      if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
        out += kMeanings[known];
      } else if (letter == '\n') {
        // A line continuation.
      } else if (letter == 'x' || letter == 'u' || letter == 'U') {
        append_code(out, raw, i, letter == 'x' ? 2 : letter == 'u' ? 4 : 8);
      } else if (letter >= '0' && letter <= '7') {
        append_octal(out, raw, --i);
      } else if (letter == 'N') {
        fail("characters can not be given by name");
      } else {
        out += '\\';  // an unknown escape stays as it is
        out += letter;
      }
    }
    return out;
  }

  void append_code(std::string& out, std::string_view raw, size_t& i, size_t count) const {
    uint32_t code = 0;
    for (size_t end = i + count; i < end; ++i) {
      const int digit = i < raw.size() ? hex_digit(raw[i]) : -1;
      if (digit < 0) fail("a string has a broken escape");
      code = code * 16 + static_cast<uint32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("a string has a broken escape");
    append_utf8(out, code);
  }

  static void append_octal(std::string& out, std::string_view raw, size_t& i) {
    uint32_t code = 0;
    for (int n = 0; n < 3 && i < raw.size() && raw[i] >= '0' && raw[i] <= '7'; ++n, ++i) {
      code = code * 8 + static_cast<uint32_t>(raw[i] - '0');
    }
    append_utf8(out, code);
  }

  void lex_operator(std::string& brackets) {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                    [&](std::string_view op) { return at(op); });
    if (found == kOperators.end()) {
      size_t next = at_;
      next_code_point(source_, next);
      fail(fmt::format("unexpected character '{}'", source_.substr(at_, next - at_)));
    }
    const char c = (*found)[0];
    if (c == '(') brackets += ')';
    if (c == '[') brackets += ']';
    if (c == '{') brackets += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) fail(fmt::format("unexpected '{}'", c));
      brackets.pop_back();
    }
    push(Kind::kOperator, std::string(*found));
    advance(at_ + found->size());
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // whether the tag before at_ ended with a line break
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace nibble::jinja
