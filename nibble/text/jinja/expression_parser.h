// SPDX-License-Identifier: Apache-2.0
//
// The expressions of a template: everything inside {{ }} and behind the tag names of {% %}.
// Precedence, loosest first: if-else, or, and, not, comparison and in, + -, ~, * / // %, **, unary
// signs, then attributes, items, calls, filters and tests.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nibble/text/jinja/ast.h"
#include "nibble/text/jinja/token_stream.h"

namespace nibble::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  ast::ExprPtr parse_expression();

  // One expression, or several with commas as a tuple. `stop` is a name that may follow a trailing
  // comma. Without `with_conditional` an `if` ends the expression: it belongs to the for tag.
  ast::ExprPtr parse_tuple(bool with_conditional = true, std::string_view stop = {});

  // name, ns.attribute (when allowed), or a tuple of those, up to a name `stop` or an operator.
  ast::Target parse_target(bool with_namespace, std::string_view stop = {});

  // | filter | filter ... after `subject`, which is null for block filters. `inline_start` reads
  // the first filter without its bar.
  ast::ExprPtr parse_filters(ast::ExprPtr subject, bool inline_start);

  // Whether unknown filters and tests are left to run time: Jinja2 checks their names early but
  // inside `if`, so that templates can ask before they use one.
  bool late_names = false;

  // Call after each tag: throws for the first unknown filter or test outside conditionals.
  void check_names() const;

  // Names read in a macro; it looks for caller, varargs and kwargs. One that was bound before, as a
  // target or as the parameter of a macro inside, does not count, whatever its scope.
  std::set<std::string> names_read, names_bound;
  void bind(const std::string& name);

  // Guards every recursion of the grammar, statements included.
  int depth = 0;

 private:
  ast::ExprPtr parse_or();
  ast::ExprPtr parse_and();
  ast::ExprPtr parse_not();
  ast::ExprPtr parse_compare();
  ast::ExprPtr parse_sum();
  ast::ExprPtr parse_concat();
  ast::ExprPtr parse_product();
  ast::ExprPtr parse_power();
  ast::ExprPtr parse_unary(bool with_filters = true);
  ast::ExprPtr parse_primary();
  ast::ExprPtr parse_literal_number();
  ast::ExprPtr parse_parentheses();
  ast::ExprPtr parse_list();
  ast::ExprPtr parse_dict();
  ast::ExprPtr parse_postfix(ast::ExprPtr subject);
  ast::ExprPtr parse_filters_and_tests(ast::ExprPtr subject);
  ast::ExprPtr parse_subscript(ast::ExprPtr object);
  ast::ExprPtr parse_call(ast::ExprPtr callee);
  ast::ExprPtr parse_test(ast::ExprPtr subject);
  ast::CallArguments parse_arguments();
  std::string parse_dotted_name();
  ast::Target parse_target_part(bool with_namespace);
  bool at_tuple_end(std::string_view stop) const;

  // Makes a node one level above the deepest of `children`.
  template <typename Node>
  ast::ExprPtr make(int line, Node node, std::initializer_list<const ast::Expr*> children);
  int depth_of(const ast::CallArguments& arguments) const;
  void note_unknown(int line, std::string what);

  TokenStream& tokens_;
  std::optional<std::pair<int, std::string>> unknown_name_;  // line, message
  int64_t variables_ = 0;  // names and calls so far: what is without any is constant
};

}  // namespace nibble::jinja
