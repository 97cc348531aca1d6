// SPDX-License-Identifier: Apache-2.0
//
// Filters on numbers, and those that work on any value.
#include <fmt/format.h>
#include <unicode/uchar.h>

#include <charconv>
#include <cmath>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/json.h"

namespace nibble::jinja {
namespace {

// int() and float() take white space around, digits of all scripts, and underscores between digits,
// which for int() may be letters.
std::optional<std::string> clean_number(const Text& text, bool letters) {
  const Text trimmed = strip_left(strip_right(text));
  std::u32string points;
  for (size_t at = 0; at < trimmed.size();) {
    const char32_t c = next_code_point(trimmed.bytes(), at);
    const int32_t digit = c < 0x80 ? -1 : u_charDigitValue(static_cast<UChar32>(c));
    points += digit < 0 ? c : static_cast<char32_t>('0' + digit);
  }
  const auto is_digit = [&](size_t i) {
    if (i >= points.size() || points[i] >= 0x80) return false;
    const int c = static_cast<int>(points[i]);
    return isdigit(c) || (letters && isalpha(c));
  };
  std::string out;
  for (size_t i = 0; i < points.size(); ++i) {
    if (points[i] != '_') {
      append_utf8(out, points[i]);
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<double> parse_float(const Text& text) {
  const auto clean = clean_number(text, false);
  if (!clean || clean->empty()) return std::nullopt;
  std::string_view digits = *clean;
  if (digits[0] == '+') digits.remove_prefix(1);
  if (digits.empty() || digits[0] == '+' ||
      digits.find_first_of("xXpP(") != std::string_view::npos) {
    return std::nullopt;
  }
  double value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end.ptr != digits.data() + digits.size()) return std::nullopt;
  if (end.ec == std::errc::result_out_of_range)
    return std::strtod(std::string(digits).c_str(), nullptr);
  return end.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> parse_integer(const Text& text, int64_t base) {
  const auto clean = clean_number(text, true);
  if (!clean || clean->empty() || base < 0 || base == 1 || base > 36) return std::nullopt;
  std::string_view digits = *clean;
  const bool negative = digits[0] == '-';
  if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
  const char mark =
      digits.size() > 2 && digits[0] == '0' ? static_cast<char>(digits[1] | 0x20) : '\0';
  const int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked && (base == marked || base == 0)) {
    digits.remove_prefix(2);
    base = marked;
  }
  if (base == 0) base = 10;
  if (digits.empty() || digits[0] == '-') return std::nullopt;
  int64_t value = 0;
  const auto end =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, static_cast<int>(base));
  if (end.ptr != digits.data() + digits.size()) return std::nullopt;
  if (end.ec != std::errc()) throw Error("an integer goes beyond 64 bits");
  return negative ? -value : value;
}

std::optional<int64_t> truncated(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::abs(value) >= 9.2e18) throw Error("an integer goes beyond 64 bits");
  return static_cast<int64_t>(value);
}

Value to_int(Interpreter&, const Value& subject, const Arguments& given) {
  const BoundArguments args("int", given, {"default", "base"});
  require_defined(subject);
  std::optional<int64_t> value = as_integer(subject);
  if (const Text* text = subject.text()) {
    const auto base = args[1] ? as_integer(*args[1]) : 10;
    if (base) value = parse_integer(*text, *base);
    if (!value) {
      if (const auto number = parse_float(*text)) value = truncated(*number);
    }
  } else if (!value && as_number(subject)) {
    value = truncated(*as_number(subject));
  }
  return value ? Value(*value) : args[0] ? *args[0] : Value(int64_t{0});
}

Value to_float(Interpreter&, const Value& subject, const Arguments& given) {
  const BoundArguments args("float", given, {"default"});
  require_defined(subject);
  const auto value = subject.text() ? parse_float(*subject.text()) : as_number(subject);
  return value ? Value(*value) : args[0] ? *args[0] : Value(0.0);
}

Value absolute(Interpreter&, const Value& subject, const Arguments& given) {
  const BoundArguments none("abs", given, {});
  require_defined(subject);
  if (const auto integer = as_integer(subject)) {
    return *integer < 0 ? unary_sign(ast::UnaryOp::kNegate, subject) : Value(*integer);
  }
  if (const auto number = as_number(subject)) return std::abs(*number);
  throw Error(fmt::format("abs needs a number, not {}", type_name(subject)));
}

// Python's round(): to the nearest, exact ties to even.
double round_float(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < 0) {
    const double unit = std::pow(10.0, static_cast<double>(std::min<int64_t>(-digits, 400)));
    return std::isinf(unit) ? std::copysign(0.0, value) : std::nearbyint(value / unit) * unit;
  }
  // Decimal printing rounds the exact binary value, as CPython does.
  return std::stod(fmt::format("{:.{}f}", value, digits));
}

Value round_integer(int64_t value, int64_t digits, Budget& budget) {
  if (digits >= 0) return value;
  if (digits < -18) return int64_t{0};
  int64_t unit = 1;
  for (int64_t i = 0; i < -digits; ++i) unit *= 10;
  int64_t below = value / unit, rest = value % unit;
  if (rest < 0) {
    rest += unit;
    --below;
  }
  if (rest > unit - rest || (rest == unit - rest && below % 2 != 0)) ++below;
  return binary_operation(ast::BinaryOp::kMul, Value(below), Value(unit), budget);
}

// value * 10**digits, rounded up or down, / 10**digits: with integers of any size in Python, which
// makes the last division exact.
double round_to_side(const Value& subject, double digits, bool is_integer, bool up) {
  const double unit = std::pow(10.0, digits);
  const bool exact = is_integer && digits >= 0;
  if (exact && as_integer(subject)) return *as_number(subject);
  if (exact && std::isinf(unit)) throw Error("round is asked for too many digits");
  const double scaled = *as_number(subject) * unit;
  if (!std::isfinite(scaled)) throw Error("round can not round what is not finite");
  const double rounded = (up ? std::ceil(scaled) : std::floor(scaled)) + 0.0;  // no negative zero
  if (!exact) {
    if (unit == 0) throw Error("division by zero");
    return rounded / unit;
  }
  return std::strtod(fmt::format("{:.0f}e-{:.0f}", rounded, digits).c_str(), nullptr);
}

Value round_value(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("round", given, {"precision", "method"});
  require_defined(subject);
  const std::string method = args[1] ? to_text(*args[1], run.budget()).bytes() : "common";
  if (!as_number(subject))
    throw Error(fmt::format("round needs a number, not {}", type_name(subject)));
  if (method == "common") {
    const int64_t digits = args.integer(0, 0);
    if (const auto integer = as_integer(subject))
      return round_integer(*integer, digits, run.budget());
    return round_float(*as_number(subject), digits);
  }
  if (method != "ceil" && method != "floor") throw Error("round knows common, ceil and floor");
  const Value precision = args[0] ? *args[0] : Value(int64_t{0});
  require_defined(precision);
  const auto digits = as_number(precision);
  if (!digits) throw Error("round needs a number of digits");
  return round_to_side(subject, *digits, as_integer(precision).has_value(), method == "ceil");
}

Value default_value(Interpreter&, const Value& subject, const Arguments& given) {
  const BoundArguments args("default", given, {"default_value", "boolean"});
  if (!subject.is_undefined() && !(args.flag(1) && !truthy(subject))) return subject;
  return args[0] ? *args[0] : Value("");
}

Value file_size(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("filesizeformat", given, {"binary"});
  require_defined(subject);
  const auto size = subject.text() ? parse_float(*subject.text()) : as_number(subject);
  if (!size) throw Error(fmt::format("filesizeformat needs a number, not {}", type_name(subject)));
  const bool binary = args.flag(0);
  const double base = binary ? 1024 : 1000;
  if (*size == 1) return "1 Byte";
  if (std::isnan(*size)) throw Error("filesizeformat needs a number");
  if (*size < base) {
    const Value whole = to_int(run, Value(*size), {});
    return fmt::format("{} Bytes", *as_integer(whole));
  }
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t i = 0;
  do {
    unit *= base;
  } while (*size >= unit && ++i < kPrefixes.size());
  const char prefix = binary && i == 0 ? 'K' : kPrefixes[std::min(i, kPrefixes.size() - 1)];
  return fmt::format("{:.1f} {}{}B", base * *size / unit, prefix, binary ? "i" : "");
}

Value attribute(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("attr", given, {"name"}, 1);
  // Unlike object.name, never an item of a dict.
  if (subject.as_dict()) {
    const Value empty = Value::dict({});
    const Value found = get_attribute(empty, args.text(0).bytes(), run.budget());
    return found.is_undefined() ? found
                                : get_attribute(subject, args.text(0).bytes(), run.budget());
  }
  return get_attribute(subject, args.text(0).bytes(), run.budget());
}

Value json(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("tojson", given, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = args.flag(0);
  style.sort_keys = args.flag(3);
  if (const Value* indent = args.given(1); indent && !subject.text()) {
    const int64_t width = indent->text() ? 0 : std::max<int64_t>(args.integer(1, 0), 0);
    if (width > 1000) throw Error("tojson is asked to indent too far");
    style.indent =
        indent->text() ? *indent->text() : Text(std::string(static_cast<size_t>(width), ' '));
    style.item_separator = Text(std::string(","));
  }
  if (const Value* separators = args.given(2)) {
    const std::vector<Value> pair = to_items(*separators, run.budget());
    const bool are_texts = pair.size() == 2 && pair[0].text() && pair[1].text();
    // A string alone needs none, and Python does not look at them.
    if (pair.size() != 2 || (!are_texts && !subject.text())) {
      throw Error("tojson needs two strings as separators");
    }
    if (are_texts) {
      style.item_separator = *pair[0].text();
      style.key_separator = *pair[1].text();
    }
  }
  return to_json(subject, style, run.budget());
}

constexpr FilterEntry kValueFilters[] = {
    {"int", to_int},          {"float", to_float},        {"abs", absolute},
    {"round", round_value},   {"default", default_value}, {"d", default_value},
    {"attr", attribute},      {"tojson", json},           {"filesizeformat", file_size},
    {"pprint", pretty_print},
};

}  // namespace

std::span<const FilterEntry> value_filters() { return kValueFilters; }

FilterFunction find_filter(std::string_view name) {
  for (const auto& table :
       {string_filters(), sequence_filters(), value_filters(), html_filters()}) {
    for (const FilterEntry& entry : table) {
      if (entry.name == name) return entry.function;
    }
  }
  return nullptr;
}

}  // namespace nibble::jinja
