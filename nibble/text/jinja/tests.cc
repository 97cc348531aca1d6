// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/tests.h"

#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

// For tests that look at the subject alone.
template <bool (*test)(const Value&)>
bool plain(Interpreter&, const Value& subject, const Arguments& given) {
  const BoundArguments none("a test", given, {});
  return test(subject);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.get<bool>(); }
bool is_true(const Value& v) { return v.get<bool>() && *v.get<bool>(); }
bool is_false(const Value& v) { return v.get<bool>() && !*v.get<bool>(); }
bool is_integer(const Value& v) { return v.get<int64_t>(); }
bool is_float(const Value& v) { return v.get<double>(); }
bool is_number(const Value& v) { return as_number(v).has_value(); }
bool is_string(const Value& v) { return v.text(); }
bool is_mapping(const Value& v) { return v.as_dict(); }
bool is_escaped(const Value& v) { return v.text() && v.text()->is_markup(); }
bool is_callable(const Value& v) { return v.is_undefined() || (v.object() && v.object()->call); }
bool is_iterable_value(const Value& v) { return is_iterable(v); }
// Has a length and items by key or place; the views of a dict have no places.
bool is_sequence(const Value& v) {
  return v.is_undefined() || v.text() || v.as_dict() ||
         (v.seq() && v.seq()->kind <= Sequence::Kind::kRange);
}

Value remainder(Interpreter& run, const Value& subject, const Value& divisor) {
  return binary_operation(ast::BinaryOp::kMod, subject, divisor, run.budget());
}

template <int64_t rest>
bool is_parity(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("a test", given, {});
  return equal(remainder(run, subject, Value(int64_t{2})), Value(rest), run.budget());
}

bool is_divisible(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("divisibleby", given, {"num"}, 1);
  return equal(remainder(run, subject, *args[0]), Value(int64_t{0}), run.budget());
}

template <bool upper>
bool is_case(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("a test", given, {});
  const Value text = to_text(subject, run.budget());
  return truthy(run.call(get_attribute(text, upper ? "isupper" : "islower", run.budget()), {}));
}

template <ast::CompareOp op>
bool compared(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments args("a comparing test", given, {"other"}, 1);
  return compare(op, subject, *args[0], run.budget());
}

bool is_same(Interpreter&, const Value& subject, const Arguments& given) {
  const BoundArguments args("sameas", given, {"other"}, 1);
  return subject.same_object(*args[0]);
}

bool is_filter(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("a test", given, {});
  hash_key(subject, run.budget());  // throws for what could be no name, as a lookup does
  return subject.text() && find_filter(subject.text()->bytes());
}

bool is_test(Interpreter& run, const Value& subject, const Arguments& given) {
  const BoundArguments none("a test", given, {});
  hash_key(subject, run.budget());
  return subject.text() && find_test(subject.text()->bytes());
}

struct Entry {
  std::string_view name;
  TestFunction function;
};

using ast::CompareOp;

constexpr Entry kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"boolean", plain<is_boolean>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"sequence", plain<is_sequence>},
    {"iterable", plain<is_iterable_value>},
    {"callable", plain<is_callable>},
    {"escaped", plain<is_escaped>},
    {"odd", is_parity<1>},
    {"even", is_parity<0>},
    {"divisibleby", is_divisible},
    {"lower", is_case<false>},
    {"upper", is_case<true>},
    {"sameas", is_same},
    {"in", compared<CompareOp::kIn>},
    {"==", compared<CompareOp::kEq>},
    {"eq", compared<CompareOp::kEq>},
    {"equalto", compared<CompareOp::kEq>},
    {"!=", compared<CompareOp::kNe>},
    {"ne", compared<CompareOp::kNe>},
    {"<", compared<CompareOp::kLt>},
    {"lt", compared<CompareOp::kLt>},
    {"lessthan", compared<CompareOp::kLt>},
    {"<=", compared<CompareOp::kLe>},
    {"le", compared<CompareOp::kLe>},
    {">", compared<CompareOp::kGt>},
    {"gt", compared<CompareOp::kGt>},
    {"greaterthan", compared<CompareOp::kGt>},
    {">=", compared<CompareOp::kGe>},
    {"ge", compared<CompareOp::kGe>},
    {"filter", is_filter},
    {"test", is_test},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (const Entry& entry : kTests) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

}  // namespace nibble::jinja
