// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/regex_syntax.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/unicode_updates.h"

namespace nibble {
namespace {

// Unicode White_Space, as the inside of a character class.
constexpr std::string_view kSpace =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
constexpr std::string_view kHexDigit = "0-9a-fA-F";
constexpr int kMaxNesting = 100;  // groups and classes; deeper ones would exhaust the stack
// Bytes of a pattern: a property of five bytes may become a kilobyte. PCRE2 compiles no longer
// ones.
constexpr size_t kMaxPattern = 1 << 16;

// \p{name} as the inside of a character class, with the characters that PCRE2 does not know yet.
std::string property_body(std::string_view name) {
  // A bare script name means Script_Extensions to PCRE2, and Script to Oniguruma.
  const bool script =
      name.size() > 2 && u_getPropertyValueEnum(UCHAR_SCRIPT, std::string(name).c_str()) >= 0;
  std::string body = fmt::format("\\p{{{}{}}}", script ? "sc:" : "", name);
  for (const PropertyRange& range : kNewProperties) {
    const bool of_group = name.size() == 1 && range.property.size() == 2;  // L has all of Lu, Ll...
    if (name != (of_group ? range.property.substr(0, 1) : range.property)) continue;
    body += fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(range.first));
    if (range.last != range.first) {
      body += fmt::format("-\\x{{{:x}}}", static_cast<uint32_t>(range.last));
    }
  }
  return body;
}

std::string property_bodies(std::initializer_list<std::string_view> names) {
  std::string out;
  for (std::string_view name : names) out += property_body(name);
  return out;
}

std::string word_body() { return property_bodies({"Alphabetic", "M", "Nd", "Pc"}); }

// For \w Latin-1's superscripts and fractions count, too, though not those of other blocks.
std::string shorthand_word_body() { return word_body() + "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"; }

// The class body for \s, \w, \d, \h (and, negated, \S, \W, \D, \H); empty for every other letter.
std::string shorthand(char letter) {
  switch (std::tolower(static_cast<unsigned char>(letter))) {
    case 's':
      return std::string(kSpace);
    case 'w':
      return shorthand_word_body();
    case 'd':
      return property_body("Nd");
    case 'h':
      return std::string(kHexDigit);
    default:
      return {};
  }
}

// The class body for [:name:]; empty when there is no such name.
std::string posix_class(std::string_view name) {
  if (name == "alpha") return property_body("Alphabetic");
  if (name == "digit") return property_body("Nd");
  if (name == "alnum") return property_bodies({"Alphabetic", "Nd"});
  if (name == "upper") return property_body("Uppercase");
  if (name == "lower") return property_body("Lowercase");
  if (name == "punct") return property_bodies({"P", "S"});
  if (name == "space") return std::string(kSpace);
  if (name == "word") return word_body();
  if (name == "xdigit") return std::string(kHexDigit);
  return {};
}

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    if (in_.size() > kMaxPattern) fail("more than 65536 bytes");
    while (!done()) step();
    if (!group_starts_.empty()) fail("an unclosed group");
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& construct) const {
    throw Error("a regular expression holds what is not supported: " + construct)
        .got(std::string(in_))
        .at_byte(static_cast<int64_t>(at_));
  }

  bool done() const { return at_ >= in_.size(); }
  bool looking_at(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  // One element of the pattern outside of classes.
  void step() {
    const char c = peek();
    switch (c) {
      case '\\':
        begin_atom();
        escape(out_);
        return;
      case '[':
        begin_atom();
        out_ += parse_class(0);
        return;
      case '(':
        open_group();
        return;
      case ')':
        if (group_starts_.empty()) fail("a ')' without its '('");
        atom_start_ = group_starts_.back();
        has_atom_ = true;
        group_starts_.pop_back();
        out_ += ')';
        ++at_;
        return;
      case '{':
        if (repeat_range()) return;
        begin_atom();
        out_ += "\\{";  // no range: a plain brace
        ++at_;
        return;
      case '$':
        begin_atom();
        out_ += "(?:(?=\\n)|(?<!\\n)\\z)";
        ++at_;
        return;
      case '*':
      case '+':
      case '?':
        out_ += c;
        ++at_;
        return;
      case '|':
        has_atom_ = false;
        out_ += c;
        ++at_;
        return;
      default:
        begin_atom();
        copy(utf8_length(c));
        return;
    }
  }

  void begin_atom() {
    atom_start_ = out_.size();
    has_atom_ = true;
  }

  void copy(size_t bytes) {
    out_ += in_.substr(at_, bytes);
    at_ += bytes;
  }

  // A backslash and what belongs to it, outside of classes.
  void escape(std::string& out) {
    const char letter = peek(1);
    if (const std::string body = shorthand(letter); !body.empty()) {
      out += is_upper(letter) ? "[^" : "[";
      out += body;
      out += ']';
      at_ += 2;
      return;
    }
    if (letter == 'b' || letter == 'B') {
      // A word on just one side; or, for \B, on both or none.
      const std::string word = shorthand_word_body();
      out += letter == 'b' ? fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", word)
                           : fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", word);
      at_ += 2;
      return;
    }
    if (letter == 'p' || letter == 'P') {
      const Property property = read_property();
      out += fmt::format("[{}{}]", property.negated ? "^" : "", property.body);
      return;
    }
    plain_escape(out);
  }

  // An escape that means the same inside and outside of classes.
  void plain_escape(std::string& out) {
    const char letter = peek(1);
    if (letter == '\0') fail("a backslash at the end");
    if (letter == 'u') return code_point(out, 4, 2);
    if (letter == 'x') {
      if (peek(2) == '{') {
        const size_t close = in_.find('}', at_);
        if (close == std::string_view::npos) fail("an unclosed \\x{");
        out += in_.substr(at_, close + 1 - at_);
        at_ = close + 1;
        return;
      }
      return code_point(out, 2, 2);
    }
    // These letters exist in Oniguruma with another meaning than in PCRE2, or in PCRE2 only.
    static constexpr std::string_view kSame = "tnrfveaAzZGR0";
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) && kSame.find(letter) == std::string_view::npos) {
      fail(std::string("the escape \\") + letter);
    }
    out += in_.substr(at_, 1 + utf8_length(letter));
    at_ += 1 + utf8_length(letter);
  }

  struct Property {
    std::string body;  // the inside of a character class
    bool negated;
  };

  Property read_property() {
    const size_t close = in_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) fail("a \\p without {name}");
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    bool negated = peek(1) == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    at_ = close + 1;
    return {property_body(name), negated};
  }

  // \uHHHH or \xHH.
  void code_point(std::string& out, size_t digits, size_t skip) {
    const std::string_view hex = in_.substr(std::min(in_.size(), at_ + skip), digits);
    const bool all_hex =
        std::all_of(hex.begin(), hex.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
    if (hex.size() != digits || !all_hex) fail("a code point with too few digits");
    // \x80 and above is a raw byte in Oniguruma, which valid text never holds alone.
    if (digits == 2 && hex[0] >= '8') fail("a raw byte above \\x7f");
    out += fmt::format("\\x{{{}}}", hex);
    at_ += skip + digits;
  }

  void open_group() {
    if (group_starts_.size() >= kMaxNesting) fail("groups nested too deeply");
    if (peek(1) != '?') return push_group(1);
    for (std::string_view head : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?#"}) {
      if (!looking_at(head)) continue;
      if (head == "(?#") {
        const size_t close = in_.find(')', at_);
        if (close == std::string_view::npos) fail("an unclosed comment");
        at_ = close + 1;
        return;
      }
      return push_group(head.size());
    }
    if (peek(2) == '<' || peek(2) == '\'') {
      const size_t close = in_.find(peek(2) == '<' ? '>' : '\'', at_ + 3);
      if (close == std::string_view::npos) fail("an unclosed group name");
      return push_group(close + 1 - at_);
    }
    options();
  }

  void push_group(size_t head_bytes) {
    group_starts_.push_back(out_.size());
    has_atom_ = false;
    copy(head_bytes);
  }

  // (?i) (?i: (?mi-x: and so on, with m spelled s.
  void options() {
    size_t end = at_ + 2;
    std::string letters;
    while (end < in_.size() &&
           (std::isalpha(static_cast<unsigned char>(in_[end])) != 0 || in_[end] == '-')) {
      if (std::string_view("imx-").find(in_[end]) == std::string_view::npos) {
        fail("a group option other than i, m and x");
      }
      letters += in_[end] == 'm' ? 's' : in_[end];
      ++end;
    }
    const char closer = end < in_.size() ? in_[end] : '\0';
    if (closer != ':' && closer != ')') fail("a group of unknown kind");
    if (closer == ':') {
      group_starts_.push_back(out_.size());
    } else if (!out_.empty() && !out_.ends_with('(') && !out_.ends_with("(?:")) {
      // Behind other elements its reach over a following '|' differs between the engines.
      fail("an option in the middle of a group");
    }
    has_atom_ = false;
    out_ += fmt::format("(?{}{}", letters, closer);
    at_ = end + 1;
  }

  // {n}, {n,}, {,m}, {n,m}; false when the brace starts none of them.
  bool repeat_range() {
    size_t end = at_ + 1;
    std::string low, high;
    bool comma = false;
    for (; end < in_.size() && in_[end] != '}'; ++end) {
      if (in_[end] == ',' && !comma) {
        comma = true;
      } else if (std::isdigit(static_cast<unsigned char>(in_[end])) != 0) {
        (comma ? high : low) += in_[end];
      } else {
        return false;
      }
    }
    if (end >= in_.size() || (low.empty() && high.empty())) return false;
    if (!has_atom_) fail("a repetition of nothing");
    at_ = end + 1;
    if (!comma && peek() == '?') fail("{n}?");  // "n times or not at all" in Ruby's syntax
    out_ += fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma ? "," : "", high);
    if (peek() == '+') {
      out_.insert(atom_start_, "(?:");
      out_ += ')';  // the '+' that follows now repeats the group
    }
    return true;
  }

  // One operand of a class: plain items, and classes inside it that are not plain unions.
  struct Operand {
    std::string items;
    std::vector<std::string> nested;  // each a whole expression for one character

    std::string expression() const {
      if (nested.empty()) return fmt::format("[{}]", items);
      return fmt::format("(?:{}{})", items.empty() ? "" : fmt::format("[{}]|", items),
                         fmt::join(nested, "|"));
    }
  };

  // A class from its '[' to its ']' as an expression for one character. `plain` gets the items when
  // the class is a plain union, so that an outer class can take them in.
  std::string parse_class(int depth, std::string* plain = nullptr) {
    if (depth >= kMaxNesting) fail("classes nested too deeply");
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<Operand> operands(1);
    bool first = true;
    for (;; first = false) {
      if (done()) fail("an unclosed character class");
      Operand& operand = operands.back();
      if (peek() == ']' && !first) break;
      if (looking_at("&&")) {
        at_ += 2;
        operands.emplace_back();
      } else if (looking_at("[:")) {
        posix_bracket(operand);
      } else if (peek() == '[') {
        std::string inner_items;
        std::string inner = parse_class(depth + 1, &inner_items);
        if (inner_items.empty()) {
          operand.nested.push_back(std::move(inner));
        } else {
          operand.items += inner_items;
        }
      } else if (peek() == '\\') {
        class_escape(operand);
      } else if (peek() == ']') {
        operand.items += "\\]";
        ++at_;
      } else {
        const size_t bytes = utf8_length(peek());
        operand.items += in_.substr(at_, bytes);
        at_ += bytes;
      }
    }
    ++at_;
    return finish_class(operands, negated, plain);
  }

  // [:name:] or [:^name:], inside a class.
  void posix_bracket(Operand& operand) {
    const size_t close = in_.find(":]", at_);
    if (close == std::string_view::npos) fail("an unclosed [:");
    std::string_view name = in_.substr(at_ + 2, close - at_ - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const std::string body = posix_class(name);
    if (body.empty()) fail("an unknown [:name:]");
    if (negated) {
      operand.nested.push_back(fmt::format("[^{}]", body));
    } else {
      operand.items += body;
    }
    at_ = close + 2;
  }

  void class_escape(Operand& operand) {
    const char letter = peek(1);
    if (const std::string body = shorthand(letter); !body.empty()) {
      if (is_upper(letter)) {
        operand.nested.push_back(fmt::format("[^{}]", body));
      } else {
        operand.items += body;
      }
      at_ += 2;
    } else if (letter == 'p' || letter == 'P') {
      const Property property = read_property();
      if (property.negated) {
        operand.nested.push_back(fmt::format("[^{}]", property.body));
      } else {
        operand.items += property.body;
      }
    } else if (letter == 'b') {
      operand.items += "\\x08";
      at_ += 2;
    } else {
      plain_escape(operand.items);
    }
  }

  std::string finish_class(const std::vector<Operand>& operands, bool negated,
                           std::string* plain) const {
    for (const Operand& operand : operands) {
      if (operand.items.empty() && operand.nested.empty()) fail("an empty character class");
    }
    const bool simple = operands.size() == 1 && operands[0].nested.empty();
    if (simple) {
      if (plain != nullptr && !negated) *plain = operands[0].items;
      return fmt::format("[{}{}]", negated ? "^" : "", operands[0].items);
    }
    std::string all;
    for (size_t i = 1; i < operands.size(); ++i) {
      all += fmt::format("(?={})", operands[i].expression());
    }
    all += operands[0].expression();
    return negated ? fmt::format("(?:(?!{})\\p{{Any}})", all) : fmt::format("(?:{})", all);
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  std::vector<size_t> group_starts_;  // in out_
  size_t atom_start_ = 0;             // in out_: what a repetition would repeat
  bool has_atom_ = false;
};

}  // namespace

std::string oniguruma_to_pcre2(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace nibble
