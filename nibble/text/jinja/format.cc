// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/operators.h"

namespace nibble::jinja {
namespace {

// Wide enough for any text; a hostile "%999999999d" must not cost memory.
constexpr int kMaxFieldWidth = 10'000;

// One conversion: the union of what % and {} can ask for.
struct Spec {
  Text fill{std::string(" ")};
  char align = '\0';  // '<', '>', '^', '=' or 0 for the type's own
  char sign = '-';    // '-', '+' or ' '
  bool sign_given = false;
  bool no_negative_zero = false;
  bool alternate = false;
  bool zero = false;  // zeros, unless there is a fill
  char group = '\0';  // ',' or '_' between digits
  int width = 0;
  int precision = -1;
  char type = '\0';
};

// `digits` with a mark between groups: of three, or of four that are no decimals.
std::string grouped(const std::string& digits, const Spec& spec) {
  const bool decimal = std::string_view("xXob").find(spec.type) == std::string_view::npos;
  const char* const kinds = decimal ? "0123456789" : "0123456789abcdefABCDEF";
  const size_t size = decimal ? 3 : 4;
  const size_t end = std::min(digits.find_first_not_of(kinds), digits.size());
  std::string out;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % size == 0) out += spec.group;
    out += digits[i];
  }
  return out + digits.substr(end);
}

// Digits of the absolute value; the caller puts the sign.
std::string integer_digits(int64_t value, const Spec& spec) {
  const uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  switch (spec.type) {
    case 'x':
      return (spec.alternate ? "0x" : "") + fmt::format("{:x}", size);
    case 'X':
      return (spec.alternate ? "0X" : "") + fmt::format("{:X}", size);
    case 'o':
      return (spec.alternate ? "0o" : "") + fmt::format("{:o}", size);
    case 'b':
      return (spec.alternate ? "0b" : "") + fmt::format("{:b}", size);
    default:
      return fmt::format("{}", size);
  }
}

std::string float_digits(double value, const Spec& spec) {
  char buffer[512];
  const int precision = std::min(spec.precision < 0 ? 6 : spec.precision, 100);
  std::string conversion = spec.alternate ? "%#.*" : "%.*";
  conversion += spec.type;
  const int size =
      std::snprintf(buffer, sizeof buffer, conversion.c_str(), precision, std::abs(value));
  return std::string(buffer, static_cast<size_t>(std::clamp(size, 0, 511)));
}

// What format() makes of a float without a type: as 'g' does, but always with a point or exponent.
std::string general_digits(double value, int precision) {
  if (!std::isfinite(value)) return float_repr(std::abs(value));
  const int shown = std::clamp(precision, 1, 100);
  const std::string scientific = fmt::format("{:.{}e}", std::abs(value), shown - 1);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent >= -4 && exponent < shown - 1) {
    const std::string digits = fmt::format("{:.{}g}", std::abs(value), shown);
    return digits.find('.') == std::string::npos ? digits + ".0" : digits;
  }
  std::string mantissa = scientific.substr(0, e);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  return mantissa + scientific.substr(e);
}

Text pad(const Text& body, const std::string& sign, const Spec& spec, char natural_align,
         Budget& budget) {
  const auto size = static_cast<int>(length_in_code_points(body.bytes()) + sign.size());
  const int gap = std::max(spec.width - size, 0);
  budget.spend_string(body.size() + static_cast<size_t>(gap) * 4);
  const char align = spec.align ? spec.align : natural_align;
  const int left = align == '<' ? 0 : align == '^' ? gap / 2 : gap;
  Text out;
  if (align == '=') out.append(sign);
  for (int i = 0; i < left; ++i) out.append(spec.fill);
  if (align != '=') out.append(sign);
  out.append(body);
  for (int i = left; i < gap; ++i) out.append(spec.fill);
  return out;
}

// repr() as ascii() shows it.
Text to_ascii(const Text& repr) {
  Text out;
  repr.for_each_run([&](std::string_view run, TextOrigin origin) {
    std::string bytes;
    for (size_t at = 0; at < run.size();) {
      const auto code = static_cast<uint32_t>(next_code_point(run, at));
      if (code < 0x80) {
        bytes += static_cast<char>(code);
      } else if (code < 0x100) {
        bytes += fmt::format("\\x{:02x}", code);
      } else {
        bytes += code < 0x10000 ? fmt::format("\\u{:04x}", code) : fmt::format("\\U{:08x}", code);
      }
    }
    out.append(bytes, origin);
  });
  return out;
}

std::string sign_of(bool negative, const Spec& spec) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

Text format_string(const Text& text, const Spec& spec, Budget& budget) {
  Text body = text;
  if (spec.precision >= 0) {
    body = text.substr(0, byte_offset(text.bytes(), static_cast<size_t>(spec.precision)));
  }
  return pad(body, "", spec, '<', budget);
}

// The character that a number stands for.
Text character(const Value& value) {
  const auto code = as_integer(value);
  if (!code || *code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
    throw Error("a format needs the number of a character");
  }
  std::string bytes;
  append_utf8(bytes, static_cast<char32_t>(*code));
  return Text(std::move(bytes));
}

Text format_number(const Value& value, const Spec& spec, Budget& budget) {
  std::string digits;
  const double number = *as_number(value);
  bool negative = number < 0 || (value.get<double>() && std::signbit(number));
  if (spec.type == '\0' && value.get<double>()) {
    digits =
        spec.precision < 0 ? float_repr(std::abs(number)) : general_digits(number, spec.precision);
  } else if (std::string_view("eEfFgG").find(spec.type) != std::string_view::npos) {
    digits = float_digits(number, spec);
  } else if (spec.type == '%') {
    Spec percent = spec;
    percent.type = 'f';
    digits = float_digits(number * 100, percent) + "%";
  } else {
    digits = integer_digits(*as_integer(value), spec);
  }
  if (spec.no_negative_zero && std::isfinite(number)) {
    const size_t exponent = std::min(digits.find_first_of("eE"), digits.size());
    negative = negative && digits.find_first_of("123456789") < exponent;
  }
  const std::string sign = sign_of(negative, spec);
  if (spec.group) {
    // Zeros that fill the width are digits too.
    const bool zeros = spec.align == '=' && spec.fill.bytes() == "0";
    const auto width = static_cast<size_t>(spec.width);
    const auto shown = [&] { return grouped(digits, spec).size() + sign.size(); };
    // All but a few at once: three of four characters are digits.
    if (const size_t size = shown(); zeros && size < width) {
      digits.insert(0, (width - size) * 3 / 4, '0');
    }
    while (zeros && shown() < width) digits.insert(0, "0");
    digits = grouped(digits, spec);
  }
  return pad(Text(std::move(digits)), sign, spec, '>', budget);
}

// ---- text % values ----

class PercentFormatter {
 public:
  PercentFormatter(const Text& format, const Value& arguments, Budget& budget)
      : format_(format), bytes_(format.bytes()), arguments_(arguments), budget_(budget) {}

  Text run() {
    size_t done = 0;
    while ((at_ = bytes_.find('%', done)) != std::string::npos) {
      append(format_.substr(done, at_));
      ++at_;
      append(conversion());
      done = at_;
    }
    append(format_.substr(done, format_.size()));
    const bool is_tuple = arguments_.is_kind(Sequence::Kind::kTuple);
    // Python's test for a mapping passes all that take a subscript.
    const bool may_stay = arguments_.as_dict() || arguments_.is_kind(Sequence::Kind::kList) ||
                          arguments_.is_kind(Sequence::Kind::kRange) || arguments_.is_undefined();
    if (is_tuple ? used_ < arguments_.seq()->items.size() : used_ == 0 && !by_name_ && !may_stay) {
      throw Error("a % format does not use all its arguments");
    }
    return std::move(out_);
  }

 private:
  void append(const Text& text) {
    budget_.spend_bytes(text.size());
    out_.append(text);
    budget_.check_string(out_.size());
  }

  char take() {
    if (at_ >= bytes_.size()) throw Error("a % format is incomplete");
    return bytes_[at_++];
  }

  Value next_argument() {
    if (!arguments_.is_kind(Sequence::Kind::kTuple)) {
      if (used_++ > 0) throw Error("a % format has too few arguments");
      return arguments_;
    }
    if (used_ >= arguments_.seq()->items.size()) {
      throw Error("a % format has too few arguments");
    }
    return arguments_.seq()->items[used_++];
  }

  int number(char& c) {
    int value = 0;
    if (c == '*') {
      const auto given = as_integer(next_argument());
      if (!given || *given < 0 || *given > kMaxFieldWidth) throw Error("a % format is too wide");
      c = take();
      return static_cast<int>(*given);
    }
    for (; c >= '0' && c <= '9'; c = take()) {
      value = value * 10 + (c - '0');
      if (value > kMaxFieldWidth) throw Error("a % format is too wide");
    }
    return value;
  }

  Text conversion() {
    char c = take();
    if (c == '%') return Text(std::string("%"));
    std::optional<Value> named;
    if (c == '(') {
      const size_t end = bytes_.find(')', at_);
      if (end == std::string::npos) throw Error("a % format is incomplete");
      require_defined(arguments_);
      if (!arguments_.as_dict()) throw Error("a % format with names needs a dict");
      const Value* found = arguments_.as_dict()->find(bytes_.substr(at_, end - at_));
      if (!found) throw Error("a % format names a missing key");
      named = *found;
      by_name_ = true;
      at_ = end + 1;
      c = take();
    }
    Spec spec;
    bool zero = false;
    for (; std::string_view("-+ #0").find(c) != std::string_view::npos; c = take()) {
      if (c == '-') spec.align = '<';
      if (c == '+' || (c == ' ' && spec.sign != '+')) spec.sign = c;
      if (c == '#') spec.alternate = true;
      if (c == '0') zero = true;
    }
    spec.width = number(c);
    if (c == '.') {
      c = take();
      spec.precision = number(c);
    }
    if (c == 'l' || c == 'h' || c == 'L') c = take();
    return convert(c, named ? *named : next_argument(), spec, zero);
  }

  Text convert(char type, const Value& value, Spec spec, bool zero) {
    spec.type = type;
    if (!spec.align) spec.align = '>';
    switch (type) {
      case 's':
        return format_string(to_text(value, budget_), spec, budget_);
      case 'r':
        return format_string(to_repr(value, budget_), spec, budget_);
      case 'a':
        return format_string(to_ascii(to_repr(value, budget_)), spec, budget_);
      case 'c': {
        if (value.text() && length_in_code_points(value.text()->bytes()) == 1) {
          return format_string(*value.text(), spec, budget_);
        }
        return format_string(character(value), spec, budget_);
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        break;
      default:
        throw Error("a % format has an unknown conversion");
    }
    require_defined(value);
    if (!as_number(value)) {
      throw Error(fmt::format("%{} needs a number, not {}", type, type_name(value)));
    }
    if (zero && spec.align != '<') {
      spec.fill = Text(std::string("0"));
      spec.align = '=';
    }
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    if (decimal && value.get<double>()) {
      const double whole = std::trunc(*as_number(value));
      if (!(std::abs(whole) < 9e18)) throw Error("%d got a number that is too large");
      return format_number(Value(static_cast<int64_t>(whole)), spec, budget_);
    }
    if ((type == 'x' || type == 'X' || type == 'o') && !as_integer(value)) {
      throw Error(fmt::format("%{} needs an integer", type));
    }
    return format_number(value, spec, budget_);
  }

  const Text& format_;
  const std::string& bytes_;
  const Value& arguments_;
  Budget& budget_;
  Text out_;
  size_t at_ = 0, used_ = 0;
  bool by_name_ = false;
};

// ---- text.format(values) ----

Spec parse_spec(const Text& source) {
  const std::string_view text = source.bytes();
  Spec spec;
  size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto number = [&] {
    int value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at) {
      value = value * 10 + (peek() - '0');
      if (value > kMaxFieldWidth) throw Error("a format is too wide");
    }
    return value;
  };
  if (!text.empty()) {
    size_t after_fill = 0;
    next_code_point(text, after_fill);
    if (after_fill < text.size() && is_align(text[after_fill])) {
      spec.fill = source.substr(0, after_fill);
      spec.align = text[after_fill];
      at = after_fill + 1;
    } else if (is_align(text[0])) {
      spec.align = text[0];
      at = 1;
    }
  }
  if (peek() == '+' || peek() == '-' || peek() == ' ') {
    spec.sign = text[at++];
    spec.sign_given = true;
  }
  if (peek() == 'z') spec.no_negative_zero = ++at > 0;
  if (peek() == '#') spec.alternate = ++at > 0;
  if (peek() == '0') {
    spec.zero = true;
    ++at;
  }
  spec.width = number();
  if (peek() == ',' || peek() == '_') spec.group = text[at++];
  if (peek() == '.') {
    ++at;
    if (peek() < '0' || peek() > '9') throw Error("a format specification misses its precision");
    spec.precision = number();
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) throw Error("a format specification is not understood");
  return spec;
}

Text format_value(const Value& value, const Text& spec_text, Budget& budget) {
  if (spec_text.empty()) return to_text(value, budget);
  if (!value.text() && !as_number(value)) {
    throw Error(fmt::format("{} takes no format specification", type_name(value)));
  }
  Spec spec = parse_spec(spec_text);
  if (value.text()) {
    if ((spec.type && spec.type != 's') || spec.align == '=' || spec.sign_given || spec.alternate ||
        spec.group || spec.no_negative_zero) {
      throw Error("a format specification does not suit a string");
    }
    if (spec.zero && !spec.align) spec.fill = Text(std::string("0"));
    return format_string(*value.text(), spec, budget);
  }
  if (spec.zero && !spec.align) {
    spec.align = '=';
    spec.fill = Text(std::string("0"));
  }
  const auto is_one_of = [&](std::string_view types) {
    return spec.type && types.find(spec.type) != std::string_view::npos;
  };
  const bool is_float = value.get<double>() || is_one_of("eEfFgG%");
  if (spec.type == 'n' && !spec.group) spec.type = is_float ? 'g' : 'd';
  const bool suits = !spec.type || is_one_of(is_float ? "eEfFgG%" : "dxXobc");
  if (!suits || (!is_float && (spec.precision >= 0 || spec.no_negative_zero)) ||
      (spec.group == ',' && is_one_of("xXobc")) || (spec.group && spec.type == 'c')) {
    throw Error("a format specification does not suit the number");
  }
  if (spec.type == 'c') {
    if (spec.sign_given || spec.alternate) {
      throw Error("a format specification does not suit a character");
    }
    return pad(character(value), "", spec, '>', budget);
  }
  return format_number(value, spec, budget);
}

class BraceFormatter {
 public:
  BraceFormatter(const Arguments& arguments, Budget& budget)
      : arguments_(arguments), budget_(budget) {}

  Text run(const Text& format) {
    const std::string& bytes = format.bytes();
    Text out;
    size_t done = 0, at = 0;
    while ((at = bytes.find_first_of("{}", done)) != std::string::npos) {
      out.append(format, done, at);
      budget_.spend_bytes(at - done + 1);
      if (at + 1 < bytes.size() && bytes[at + 1] == bytes[at]) {
        out.append(format, at, at + 1);
        done = at + 2;
        continue;
      }
      const size_t end = field_end(bytes, at);
      if (end == std::string::npos) throw Error("a format has a lone brace");
      out.append(field(format.substr(at + 1, end)));
      budget_.check_string(out.size());
      done = end + 1;
    }
    out.append(format, done, format.size());
    return out;
  }

 private:
  // The brace that closes the one at `at`; a specification may have fields of its own.
  static size_t field_end(std::string_view bytes, size_t at) {
    if (bytes[at] == '}') return std::string_view::npos;
    for (int open = 0; at < bytes.size(); ++at) {
      if (bytes[at] == '{') ++open;
      if (bytes[at] == '}' && --open == 0) return at;
    }
    return std::string_view::npos;
  }

  // name[.attribute|[key]]...[!conversion][:specification]
  Text field(const Text& source) {
    const DepthGuard guard(depth_, 2, "format fields are nested too deeply");
    const std::string_view text = source.bytes();
    const size_t colon = text.find(':');
    std::string_view name = text.substr(0, colon);
    if (name.find('{') != std::string_view::npos) throw Error("a format field is broken");
    char conversion = '\0';
    if (const size_t mark = name.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != name.size()) throw Error("a format conversion is not understood");
      conversion = name[mark + 1];
      if (std::string_view("ras").find(conversion) == std::string_view::npos) {
        throw Error("a format conversion is not understood");
      }
      name = name.substr(0, mark);
    }
    Value value = look_up(name);
    if (conversion == 'r') value = to_repr(value, budget_);
    if (conversion == 'a') value = to_ascii(to_repr(value, budget_));
    if (conversion == 's') value = to_text(value, budget_);
    const Text spec =
        colon == std::string_view::npos ? Text() : run(source.substr(colon + 1, source.size()));
    return format_value(value, spec, budget_);
  }

  Value look_up(std::string_view path) {
    const size_t head = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, head));
    for (size_t at = head; at < path.size();) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        value = get_attribute(value, path.substr(at + 1, end - at - 1), budget_);
        at = end;
      } else {
        const size_t end = path.find(']', at);
        if (path[at] != '[' || end == std::string_view::npos)
          throw Error("a format field is broken");
        value = get_item(value, key(path.substr(at + 1, end - at - 1)), budget_);
        at = end + 1;
      }
    }
    return value;
  }

  static Value key(std::string_view text) {
    if (const auto index = decimal(text)) return *index;
    return Value(std::string(text));
  }

  static std::optional<int64_t> decimal(std::string_view text) {
    if (text.empty() || text.size() > 9) return std::nullopt;
    int64_t value = 0;
    for (const char c : text) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    return value;
  }

  Value argument(std::string_view name) {
    const auto index = decimal(name);
    if (name.empty() || index) {
      const size_t at = index ? static_cast<size_t>(*index) : automatic_++;
      if (at >= arguments_.positional.size()) throw Error("a format has too few arguments");
      return arguments_.positional[at];
    }
    for (const auto& [given, value] : arguments_.named) {
      if (given.bytes() == name) return value;
    }
    throw Error("a format names a missing argument");
  }

  const Arguments& arguments_;
  Budget& budget_;
  size_t automatic_ = 0;
  int depth_ = 0;
};

}  // namespace

Text format_percent(const Text& format, const Value& arguments, Budget& budget) {
  return PercentFormatter(format, arguments, budget).run();
}

Text format_braces(const Text& format, const Arguments& arguments, Budget& budget) {
  return BraceFormatter(arguments, budget).run(format);
}

}  // namespace nibble::jinja
