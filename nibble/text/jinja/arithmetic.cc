// SPDX-License-Identifier: Apache-2.0
//
// Python's arithmetic on numbers, strings and sequences.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <unordered_set>

#include "nibble/text/jinja/format.h"
#include "nibble/text/jinja/operators.h"

namespace nibble::jinja {
namespace {

using ast::BinaryOp;

constexpr const char* kTooLarge = "an integer goes beyond 64 bits";

const char* spelling(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      return "**";
  }
  return "?";
}

int64_t checked_mul(int64_t a, int64_t b) {
  int64_t out;
  if (__builtin_mul_overflow(a, b, &out)) throw Error(kTooLarge);
  return out;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t out = 1;
  while (exponent > 0) {
    if (exponent & 1) out = checked_mul(out, base);
    exponent >>= 1;
    if (exponent > 0) base = checked_mul(base, base);
  }
  return out;
}

// Division rounds down, and the remainder has the sign of the divisor.
int64_t floor_div(int64_t a, int64_t b) {
  if (b == -1) return checked_mul(a, -1);
  return a / b - ((a % b != 0 && (a % b < 0) != (b < 0)) ? 1 : 0);
}
int64_t floor_mod(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
double floor_mod(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}
double floor_div(double a, double b) {
  // CPython derives the quotient from the remainder, which keeps the two consistent.
  const double quotient = (a - floor_mod(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value integers(BinaryOp op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &out)) throw Error(kTooLarge);
      return out;
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &out)) throw Error(kTooLarge);
      return out;
    case BinaryOp::kMul:
      return checked_mul(a, b);
    case BinaryOp::kDiv:
      return static_cast<double>(a) / static_cast<double>(b);
    case BinaryOp::kFloorDiv:
      return floor_div(a, b);
    case BinaryOp::kMod:
      return floor_mod(a, b);
    case BinaryOp::kPow:
      if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
      return integer_power(a, b);
  }
  return Value();
}

Value floats(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kDiv:
      return a / b;
    case BinaryOp::kFloorDiv:
      return floor_div(a, b);
    case BinaryOp::kMod:
      return floor_mod(a, b);
    case BinaryOp::kPow: {
      const double power = std::pow(a, b);
      if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) {
        throw Error("a power of a negative number is not real");
      }
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        throw Error("a power is too large");
      }
      return power;
    }
  }
  return Value();
}

Value numbers(BinaryOp op, const Value& left, const Value& right) {
  const bool divides = op == BinaryOp::kDiv || op == BinaryOp::kFloorDiv || op == BinaryOp::kMod;
  if ((divides && *as_number(right) == 0) ||
      (op == BinaryOp::kPow && *as_number(left) == 0 && *as_number(right) < 0)) {
    throw Error("division by zero");
  }
  const auto a = as_integer(left), b = as_integer(right);
  return a && b ? integers(op, *a, *b) : floats(op, *as_number(left), *as_number(right));
}

Value join_texts(const Text& left, const Text& right, Budget& budget) {
  budget.spend_string(left.size() + right.size());
  const bool markup = left.is_markup() || right.is_markup();
  const auto part = [&](const Text& text) {
    return markup && !text.is_markup() ? escape_html(text) : text;
  };
  Text out = part(left);
  out.append(part(right));
  return markup ? out.as_markup() : out;
}

Value repeat(const Value& what, int64_t count, Budget& budget) {
  count = std::max<int64_t>(count, 0);
  const int64_t size = what.text() ? static_cast<int64_t>(what.text()->size())
                                   : static_cast<int64_t>(what.seq()->items.size());
  int64_t total;
  if (__builtin_mul_overflow(size, count, &total)) throw Error("a repetition is too long");
  if (size == 0) count = 0;
  if (what.text()) {
    budget.spend_string(static_cast<size_t>(total));
    // By blocks: one short text a million times would take a while.
    constexpr int64_t kBlock = 64;
    Text block, out;
    for (int64_t i = 0; i < std::min(count, kBlock); ++i) block.append(*what.text());
    for (int64_t i = 0; i < count / kBlock; ++i) out.append(block);
    for (int64_t i = 0; i < count % kBlock; ++i) out.append(*what.text());
    return what.text()->is_markup() ? out.as_markup() : out;
  }
  budget.spend_steps(total);
  std::vector<Value> items;
  for (int64_t i = 0; i < count; ++i) {
    items.insert(items.end(), what.seq()->items.begin(), what.seq()->items.end());
  }
  return Value::sequence(what.seq()->kind, std::move(items));
}

// The items of `left` that are not in `right`, each once.
Value subtract_sets(const Value& left, const Value& right, Budget& budget) {
  std::unordered_set<std::string> seen;
  for (const Value& item : to_items(right, budget)) seen.insert(hash_key(item, budget));
  std::vector<Value> items;
  for (Value& item : to_items(left, budget)) {
    if (seen.insert(hash_key(item, budget)).second) items.push_back(std::move(item));
  }
  return Value::sequence(Sequence::Kind::kSet, std::move(items));
}

bool is_repeatable(const Value& value) {
  return value.text() || value.is_kind(Sequence::Kind::kList) ||
         value.is_kind(Sequence::Kind::kTuple);
}

}  // namespace

Value binary_operation(BinaryOp op, const Value& left, const Value& right, Budget& budget) {
  if (as_number(left) && as_number(right)) return numbers(op, left, right);
  if (op == BinaryOp::kMod && left.text()) return format_percent(*left.text(), right, budget);
  require_defined(left);
  const bool both_sets = left.is_set_like() && right.is_set_like();
  if (op == BinaryOp::kSub && (left.is_view() || right.is_view() || both_sets)) {
    return subtract_sets(left, right, budget);  // a view takes any iterable at its side
  }
  require_defined(right);
  if (op == BinaryOp::kAdd && left.text() && right.text()) {
    return join_texts(*left.text(), *right.text(), budget);
  }
  if (op == BinaryOp::kAdd && left.seq() && right.seq() && left.seq()->kind == right.seq()->kind &&
      left.seq()->kind <= Sequence::Kind::kTuple) {
    std::vector<Value> items = left.seq()->items;
    items.insert(items.end(), right.seq()->items.begin(), right.seq()->items.end());
    budget.spend_steps(static_cast<int64_t>(items.size()));
    return Value::sequence(left.seq()->kind, std::move(items));
  }
  if (op == BinaryOp::kMul && is_repeatable(left) && as_integer(right)) {
    return repeat(left, *as_integer(right), budget);
  }
  if (op == BinaryOp::kMul && is_repeatable(right) && as_integer(left)) {
    return repeat(right, *as_integer(left), budget);
  }
  throw Error(
      fmt::format("'{}' does not take {} and {}", spelling(op), type_name(left), type_name(right)));
}

Value unary_sign(ast::UnaryOp op, const Value& operand) {
  require_defined(operand);
  const bool negate = op == ast::UnaryOp::kNegate;
  if (const auto integer = as_integer(operand)) return checked_mul(*integer, negate ? -1 : 1);
  if (const auto number = as_number(operand)) return negate ? -*number : *number;
  throw Error(fmt::format("a sign does not go with {}", type_name(operand)));
}

}  // namespace nibble::jinja
