// SPDX-License-Identifier: Apache-2.0
//
// Walks the syntax tree of a template and writes its output. One Interpreter renders one template
// once; it holds the variables, the budget and nothing of the host but a clock reading.
#pragma once

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/text/jinja/arguments.h"
#include "nibble/text/jinja/ast.h"
#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/operators.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

bool compare(ast::CompareOp op, const Value& left, const Value& right, Budget& budget);

class Interpreter {
 public:
  explicit Interpreter(std::chrono::system_clock::time_point now, const Limits& limits = {});
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void set_variable(std::string name, Value value);

  // Throws Error without a line; line() then says where. `body` must outlive the interpreter.
  Text render(const ast::Body& body);
  int line() const { return line_; }

  Budget& budget() { return budget_; }
  std::chrono::system_clock::time_point now() const { return now_; }

  // For filters and functions.
  Value call(const Value& callee, const Arguments& arguments);
  Value apply_filter(std::string_view name, const Value& subject, const Arguments& arguments);
  bool apply_test(std::string_view name, const Value& subject, const Arguments& arguments);
  Value make_namespace(Dict attributes);
  bool autoescape() const { return autoescape_; }
  size_t draw(size_t count);  // a number below count, from the clock reading

 private:
  // The variables of one block; lookups go on in the enclosing one.
  struct Scope {
    std::shared_ptr<Scope> parent;
    std::unordered_map<std::string, Value> variables;
    int depth = 0;
  };
  using ScopePtr = std::shared_ptr<Scope>;
  enum class Flow { kNormal, kBreak, kContinue };

  ScopePtr inner_scope(const ScopePtr& parent);
  Value look_up(const std::string& name, const Scope& scope) const;
  void assign(const ast::Target& target, const Value& value, Scope& scope);
  void write(const Text& text);

  // Statements.
  Flow run(const ast::Body& body, const ScopePtr& scope);
  Flow run(const ast::Data& data, const ScopePtr& scope);
  Flow run(const ast::Output& output, const ScopePtr& scope);
  Flow run(const ast::For& loop, const ScopePtr& scope);
  Flow run(const ast::If& branches, const ScopePtr& scope);
  Flow run(const ast::Set& set, const ScopePtr& scope);
  Flow run(const ast::SetBlock& set, const ScopePtr& scope);
  Flow run(const ast::Macro& macro, const ScopePtr& scope);
  Flow run(const ast::CallBlock& block, const ScopePtr& scope);
  Flow run(const ast::FilterBlock& block, const ScopePtr& scope);
  Flow run(const ast::With& with, const ScopePtr& scope);
  Flow run(const ast::Scoped& scoped, const ScopePtr& scope);
  Flow run(const ast::Autoescape& block, const ScopePtr& scope);
  Flow run(const ast::Generation& block, const ScopePtr& scope);
  Flow run(const ast::Break&, const ScopePtr&) { return Flow::kBreak; }
  Flow run(const ast::Continue&, const ScopePtr&) { return Flow::kContinue; }

  Flow run_loop(const ast::For& loop, const Value& iterable, const ScopePtr& scope, int depth);
  Puller filtered(const ast::For& loop, const Value& iterable, const ScopePtr& scope);
  // Calls `produce` with all output going to `captured`.
  template <typename F>
  auto capture(Text& captured, F produce);
  void require_text() const;  // throws when a filter block in what is captured gave none
  Text as_markup_if_escaped(Text text) const;
  Value make_macro(std::shared_ptr<const ast::Callable> callable, const ScopePtr& closure);
  Value call_macro(const ast::Callable& callable, const ScopePtr& closure, const Arguments& given);

  // Expressions. The scope is never null.
  Value eval(const ast::Expr& expr, const ScopePtr& scope);
  Value eval(const ast::Literal& literal, const ScopePtr&) { return literal.value; }
  Value eval(const ast::Name& name, const ScopePtr& scope) { return look_up(name.name, *scope); }
  Value eval(const ast::SequenceLiteral& literal, const ScopePtr& scope);
  Value eval(const ast::DictLiteral& literal, const ScopePtr& scope);
  Value eval(const ast::Unary& unary, const ScopePtr& scope);
  Value eval(const ast::Binary& binary, const ScopePtr& scope);
  Value eval(const ast::Logic& logic, const ScopePtr& scope);
  Value eval(const ast::Concat& concat, const ScopePtr& scope);
  Value eval(const ast::Compare& compare, const ScopePtr& scope);
  Value eval(const ast::Conditional& conditional, const ScopePtr& scope);
  Value eval(const ast::Attribute& attribute, const ScopePtr& scope);
  Value eval(const ast::Item& item, const ScopePtr& scope);
  Value eval(const ast::Slice& slice, const ScopePtr& scope);
  Value eval(const ast::Call& call, const ScopePtr& scope);
  Value eval(const ast::Filter& filter, const ScopePtr& scope);
  Value eval(const ast::Test& test, const ScopePtr& scope);
  Arguments eval(const ast::CallArguments& arguments, const ScopePtr& scope);
  // A filter chain whose innermost subject is the text of a block.
  Value filter_block(const ast::Expr& filters, const Text& text, const ScopePtr& scope);

  std::chrono::system_clock::time_point now_;
  Budget budget_;
  ScopePtr root_;
  Text output_;
  Text* out_ = &output_;
  bool no_text_ = false;
  const Value* block_text_ = nullptr;  // what a filter without subject reads
  int depth_ = 0;
  int line_ = 1;
  bool autoescape_ = false;      // what filters and concatenation see
  bool escapes_output_ = false;  // of {{ }}: in a macro that of the place where it stands
  std::minstd_rand random_;
  // Namespaces, and scopes that macros close over, can form cycles; they are emptied at the end.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<ScopePtr> closures_;
};

}  // namespace nibble::jinja
