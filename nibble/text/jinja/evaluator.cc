// SPDX-License-Identifier: Apache-2.0
//
// The expressions of jinja_interpreter.h.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja/interpreter.h"

namespace nibble::jinja {

bool compare(ast::CompareOp op, const Value& left, const Value& right, Budget& budget) {
  switch (op) {
    case ast::CompareOp::kEq:
      return equal(left, right, budget);
    case ast::CompareOp::kNe:
      return !equal(left, right, budget);
    case ast::CompareOp::kLt:
      return less(left, right, budget);
    case ast::CompareOp::kGt:
      return less(right, left, budget);
    case ast::CompareOp::kLe:
      return less(left, right, budget) || equal(left, right, budget);
    case ast::CompareOp::kGe:
      return less(right, left, budget) || equal(left, right, budget);
    case ast::CompareOp::kIn:
      return contains(right, left, budget);
    case ast::CompareOp::kNotIn:
      return !contains(right, left, budget);
  }
  return false;
}

Value Interpreter::eval(const ast::Expr& expr, const ScopePtr& scope) {
  const DepthGuard guard(depth_, kMaxDepth, "the template recurses too deeply");
  budget_.spend_steps(1);
  line_ = expr.line;
  return std::visit([&](const auto& node) { return eval(node, scope); }, expr.node);
}

Value Interpreter::eval(const ast::SequenceLiteral& literal, const ScopePtr& scope) {
  std::vector<Value> items;
  for (const ast::ExprPtr& item : literal.items) items.push_back(eval(*item, scope));
  return Value::sequence(literal.kind, std::move(items));
}

Value Interpreter::eval(const ast::DictLiteral& literal, const ScopePtr& scope) {
  std::vector<Value> values;  // all of them, before any key is looked at
  for (const auto& [key, value] : literal.entries) {
    values.push_back(eval(*key, scope));
    values.push_back(eval(*value, scope));
  }
  Dict dict;
  for (size_t i = 0; i < values.size(); i += 2) {
    dict.set(std::move(values[i]), std::move(values[i + 1]), budget_);
  }
  return Value::dict(std::move(dict));
}

Value Interpreter::eval(const ast::Unary& unary, const ScopePtr& scope) {
  const Value operand = eval(*unary.operand, scope);
  return unary.op == ast::UnaryOp::kNot ? Value(!truthy(operand)) : unary_sign(unary.op, operand);
}

Value Interpreter::eval(const ast::Binary& binary, const ScopePtr& scope) {
  const Value left = eval(*binary.left, scope);
  return binary_operation(binary.op, left, eval(*binary.right, scope), budget_);
}

Value Interpreter::eval(const ast::Logic& logic, const ScopePtr& scope) {
  Value left = eval(*logic.left, scope);
  return truthy(left) == logic.is_and ? eval(*logic.right, scope) : left;
}

Value Interpreter::eval(const ast::Concat& concat, const ScopePtr& scope) {
  std::vector<Text> parts;
  bool markup = false;
  for (const ast::ExprPtr& part : concat.parts) {
    parts.push_back(to_text(eval(*part, scope), budget_));
    markup = markup || (autoescape_ && parts.back().is_markup());
  }
  Text out;
  for (const Text& part : parts) {
    const Text text = markup ? escape(part) : part;
    budget_.spend_string(out.size() + text.size());
    out.append(text);
  }
  return markup ? out.as_markup() : out;
}

Value Interpreter::eval(const ast::Compare& comparison, const ScopePtr& scope) {
  Value left = eval(*comparison.first, scope);
  for (const auto& [op, operand] : comparison.rest) {
    Value right = eval(*operand, scope);
    if (!compare(op, left, right, budget_)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::eval(const ast::Conditional& conditional, const ScopePtr& scope) {
  if (truthy(eval(*conditional.test, scope))) return eval(*conditional.then, scope);
  if (conditional.otherwise) return eval(*conditional.otherwise, scope);
  return Value::undefined(
      fmt::format("the inline if-expression on line {} evaluated to false and no else section was "
                  "defined.",
                  line_));
}

Value Interpreter::eval(const ast::Attribute& attribute, const ScopePtr& scope) {
  return get_attribute(eval(*attribute.object, scope), attribute.name, budget_);
}

Value Interpreter::eval(const ast::Item& item, const ScopePtr& scope) {
  const Value object = eval(*item.object, scope);
  return get_item(object, eval(*item.key, scope), budget_);
}

Value Interpreter::eval(const ast::Slice& slice, const ScopePtr& scope) {
  const Value object = eval(*slice.object, scope);
  const auto bound = [&](const ast::ExprPtr& expr) { return expr ? eval(*expr, scope) : Value(); };
  const Value start = bound(slice.start), stop = bound(slice.stop), step = bound(slice.step);
  return get_slice(object, &start, &stop, &step, budget_);
}

Arguments Interpreter::eval(const ast::CallArguments& arguments, const ScopePtr& scope) {
  Arguments out;
  for (const ast::ExprPtr& value : arguments.positional) {
    out.positional.push_back(eval(*value, scope));
  }
  for (const auto& [name, value] : arguments.named)
    out.named.emplace_back(Text(name), eval(*value, scope));
  if (arguments.star) {
    for (Value& value : to_items(eval(*arguments.star, scope), budget_)) {
      out.positional.push_back(std::move(value));
    }
  }
  if (arguments.star_star) {
    const Value more = eval(*arguments.star_star, scope);
    if (!more.as_dict()) throw Error("the value behind ** is no dict");
    for (const auto& [name, value] : more.as_dict()->entries) {
      if (!name.text()) throw Error("a dict behind ** has a key that is no string");
      budget_.spend_steps(1);
      if (std::ranges::any_of(arguments.named, [&](const auto& argument) {
            return argument.first == name.text()->bytes();
          })) {
        throw Error(fmt::format("the argument '{}' is given twice", name.text()->bytes()));
      }
      out.named.emplace_back(*name.text(), value);
    }
  }
  return out;
}

Value Interpreter::eval(const ast::Call& call_node, const ScopePtr& scope) {
  const int line = line_;
  const Value callee = eval(*call_node.callee, scope);
  const Arguments arguments = eval(call_node.arguments, scope);
  line_ = line;
  return call(callee, arguments);
}

Value Interpreter::eval(const ast::Filter& filter, const ScopePtr& scope) {
  const int line = line_;
  const Value subject = filter.subject ? eval(*filter.subject, scope) : *block_text_;
  const Arguments arguments = eval(filter.arguments, scope);
  line_ = line;
  return apply_filter(filter.name, subject, arguments);
}

Value Interpreter::eval(const ast::Test& test, const ScopePtr& scope) {
  const int line = line_;
  const Value subject = eval(*test.subject, scope);
  const Arguments arguments = eval(test.arguments, scope);
  line_ = line;
  return apply_test(test.name, subject, arguments);
}

Value Interpreter::filter_block(const ast::Expr& filters, const Text& text, const ScopePtr& scope) {
  const Value subject(text);
  const Value* const outer = std::exchange(block_text_, &subject);
  Value filtered = eval(filters, scope);
  block_text_ = outer;
  return filtered;
}

}  // namespace nibble::jinja
