// SPDX-License-Identifier: Apache-2.0
//
// The syntax tree of a template: plain data, built by parser.h and walked by
// interpreter.h. Every node carries its source line.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "nibble/text/jinja/value.h"

namespace nibble::jinja::ast {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;
struct Statement;
using Body = std::vector<Statement>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;       // *args, or null
  ExprPtr star_star;  // **kwargs, or null
};

enum class UnaryOp { kNot, kNegate, kPlus };
enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct SequenceLiteral {
  Sequence::Kind kind;  // kList or kTuple
  std::vector<ExprPtr> items;
};
struct DictLiteral {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
struct Unary {
  UnaryOp op;
  ExprPtr operand;
};
struct Binary {
  BinaryOp op;
  ExprPtr left, right;
};
struct Logic {
  bool is_and;
  ExprPtr left, right;
};
struct Concat {
  std::vector<ExprPtr> parts;
};
// first op second op third ...: Python's chained comparison.
struct Compare {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct Conditional {
  ExprPtr test, then, otherwise;  // otherwise may be null
};
struct Attribute {
  ExprPtr object;
  std::string name;
};
struct Item {
  ExprPtr object, key;
};
struct Slice {
  ExprPtr object, start, stop, step;  // all but object may be null
};
struct Call {
  ExprPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExprPtr subject;  // null: the text of the enclosing filter or set block
  std::string name;
  CallArguments arguments;
};
struct Test {
  ExprPtr subject;
  std::string name;
  CallArguments arguments;
};

struct Expr {
  int line;
  int depth;  // levels below and including this one, at most kMaxChain
  std::variant<Literal, Name, SequenceLiteral, DictLiteral, Unary, Binary, Logic, Concat, Compare,
               Conditional, Attribute, Item, Slice, Call, Filter, Test>
      node;
};

// What can stand left of `=` and between `for` and `in`.
struct Target {
  std::string name;           // the variable; of a namespace where attribute is set
  std::string attribute;      // ns.attribute
  std::vector<Target> parts;  // a tuple, when is_tuple
  bool is_tuple = false;
};

// Parameters and body of a macro or a call block.
struct Callable {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Data {
  std::string text;
};
struct Output {
  std::vector<ExprPtr> values;
};
struct For {
  Target target;
  ExprPtr iterable;
  ExprPtr condition;  // may be null
  bool recursive = false;
  Body body, otherwise;
};
struct If {
  std::vector<std::pair<ExprPtr, Body>> branches;  // if and elif
  Body otherwise;
};
struct Set {
  Target target;
  ExprPtr value;
};
struct SetBlock {
  Target target;
  ExprPtr filter;  // may be null
  Body body;
};
struct Macro {
  std::shared_ptr<const Callable> callable;
};
struct CallBlock {
  std::shared_ptr<const Callable> caller;
  ExprPtr call;  // a Call
};
struct FilterBlock {
  ExprPtr filter;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExprPtr>> bindings;
  Body body;
};
// {% generation %}: what the model is to write. To Jinja2 a macro that is called where it stands.
struct Generation {
  std::shared_ptr<const Callable> callable;
};
// {% block %}: a body with its own variables.
struct Scoped {
  Body body;
  bool sees_locals;  // else only the top-level variables
};
struct Autoescape {
  ExprPtr enabled;
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<Data, Output, For, If, Set, SetBlock, Macro, CallBlock, FilterBlock, With, Scoped,
               Generation, Autoescape, Break, Continue>
      node;
};

}  // namespace nibble::jinja::ast
