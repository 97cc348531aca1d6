// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/tests.h"

namespace nibble::jinja {

using namespace ast;
using Kind = Token::Kind;

namespace {

constexpr const char* kSourceTooDeep = "the template is nested too deeply";

int deepest(const std::vector<ExprPtr>& items) {
  int depth = 0;
  for (const ExprPtr& item : items) depth = std::max(depth, item->depth);
  return depth;
}

std::optional<CompareOp> compare_operator(const Token& token) {
  if (token.kind != Kind::kOperator) return std::nullopt;
  if (token.text == "==") return CompareOp::kEq;
  if (token.text == "!=") return CompareOp::kNe;
  if (token.text == "<") return CompareOp::kLt;
  if (token.text == "<=") return CompareOp::kLe;
  if (token.text == ">") return CompareOp::kGt;
  if (token.text == ">=") return CompareOp::kGe;
  return std::nullopt;
}

}  // namespace

template <typename Node>
ExprPtr ExpressionParser::make(int line, Node node, std::initializer_list<const Expr*> children) {
  int below = 0;
  for (const Expr* child : children) {
    if (child) below = std::max(below, child->depth);
  }
  if constexpr (std::is_same_v<Node, SequenceLiteral>) below = deepest(node.items);
  if constexpr (std::is_same_v<Node, Concat>) below = deepest(node.parts);
  if constexpr (std::is_same_v<Node, Call> || std::is_same_v<Node, Filter> ||
                std::is_same_v<Node, Test>) {
    below = std::max(below, depth_of(node.arguments));
  }
  if constexpr (std::is_same_v<Node, Compare>) {
    for (const auto& [op, operand] : node.rest) below = std::max(below, operand->depth);
  }
  if constexpr (std::is_same_v<Node, DictLiteral>) {
    for (const auto& [key, value] : node.entries) {
      below = std::max({below, key->depth, value->depth});
    }
  }
  if (below >= kMaxChain) TokenStream::fail_at(line, kSourceTooDeep);
  return std::make_unique<Expr>(Expr{line, below + 1, std::move(node)});
}

void ExpressionParser::note_unknown(int line, std::string what) {
  if (!late_names && !unknown_name_) unknown_name_.emplace(line, std::move(what));
}

void ExpressionParser::check_names() const {
  if (unknown_name_) TokenStream::fail_at(unknown_name_->first, unknown_name_->second);
}

int ExpressionParser::depth_of(const CallArguments& arguments) const {
  int below = deepest(arguments.positional);
  for (const auto& [name, value] : arguments.named) below = std::max(below, value->depth);
  if (arguments.star) below = std::max(below, arguments.star->depth);
  if (arguments.star_star) below = std::max(below, arguments.star_star->depth);
  return below;
}

ExprPtr ExpressionParser::parse_expression() {
  const DepthGuard guard(depth, kMaxSourceDepth, kSourceTooDeep);
  const int line = tokens_.line();
  const auto unknown_before = unknown_name_;
  ExprPtr value = parse_or();
  while (tokens_.skip_name("if")) {
    ExprPtr test = parse_or();
    ExprPtr otherwise = tokens_.skip_name("else") ? parse_expression() : nullptr;
    unknown_name_ = unknown_before;  // in a conditional, only the branch that runs needs its names
    const Expr *t = test.get(), *v = value.get(), *o = otherwise.get();
    value =
        make(line, Conditional{std::move(test), std::move(value), std::move(otherwise)}, {t, v, o});
  }
  return value;
}

ExprPtr ExpressionParser::parse_or() {
  const int line = tokens_.line();
  ExprPtr left = parse_and();
  while (tokens_.skip_name("or")) {
    ExprPtr right = parse_and();
    const Expr *l = left.get(), *r = right.get();
    left = make(line, Logic{false, std::move(left), std::move(right)}, {l, r});
  }
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  const int line = tokens_.line();
  ExprPtr left = parse_not();
  while (tokens_.skip_name("and")) {
    ExprPtr right = parse_not();
    const Expr *l = left.get(), *r = right.get();
    left = make(line, Logic{true, std::move(left), std::move(right)}, {l, r});
  }
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  if (!tokens_.is_name("not")) return parse_compare();
  const DepthGuard guard(depth, kMaxSourceDepth, kSourceTooDeep);
  const int line = tokens_.next().line;
  ExprPtr operand = parse_not();
  const Expr* o = operand.get();
  return make(line, Unary{UnaryOp::kNot, std::move(operand)}, {o});
}

ExprPtr ExpressionParser::parse_compare() {
  const int line = tokens_.line();
  ExprPtr first = parse_sum();
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  for (;;) {
    if (const auto op = compare_operator(tokens_.current())) {
      tokens_.next();
      rest.emplace_back(*op, parse_sum());
    } else if (tokens_.skip_name("in")) {
      rest.emplace_back(CompareOp::kIn, parse_sum());
    } else if (tokens_.is_name("not") && tokens_.look().kind == Kind::kName &&
               tokens_.look().text == "in") {
      tokens_.next();
      tokens_.next();
      rest.emplace_back(CompareOp::kNotIn, parse_sum());
    } else {
      break;
    }
  }
  if (rest.empty()) return first;
  const Expr* f = first.get();
  return make(line, Compare{std::move(first), std::move(rest)}, {f});
}

ExprPtr ExpressionParser::parse_sum() {
  const int line = tokens_.line();
  ExprPtr left = parse_concat();
  while (tokens_.is_operator("+") || tokens_.is_operator("-")) {
    const BinaryOp op = tokens_.next().text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    ExprPtr right = parse_concat();
    const Expr *l = left.get(), *r = right.get();
    left = make(line, Binary{op, std::move(left), std::move(right)}, {l, r});
  }
  return left;
}

ExprPtr ExpressionParser::parse_concat() {
  const int line = tokens_.line();
  ExprPtr first = parse_product();
  if (!tokens_.is_operator("~")) return first;
  Concat concat;
  concat.parts.push_back(std::move(first));
  while (tokens_.skip_operator("~")) concat.parts.push_back(parse_product());
  return make(line, std::move(concat), {});
}

ExprPtr ExpressionParser::parse_product() {
  const int line = tokens_.line();
  ExprPtr left = parse_power();
  for (;;) {
    BinaryOp op;
    if (tokens_.is_operator("*")) {
      op = BinaryOp::kMul;
    } else if (tokens_.is_operator("/")) {
      op = BinaryOp::kDiv;
    } else if (tokens_.is_operator("//")) {
      op = BinaryOp::kFloorDiv;
    } else if (tokens_.is_operator("%")) {
      op = BinaryOp::kMod;
    } else {
      return left;
    }
    tokens_.next();
    ExprPtr right = parse_power();
    const Expr *l = left.get(), *r = right.get();
    left = make(line, Binary{op, std::move(left), std::move(right)}, {l, r});
  }
}

// Left to right: 2**3**2 is 64 in Jinja2, unlike in Python.
ExprPtr ExpressionParser::parse_power() {
  const int line = tokens_.line();
  ExprPtr left = parse_unary();
  while (tokens_.skip_operator("**")) {
    const int64_t before = variables_;
    ExprPtr right = parse_unary();
    // Jinja2 hands "-2 ** n" to Python, where the sign comes last, as soon as it has folded -2 to a
    // constant, parentheses or not; with a constant for n it computes the power itself.
    auto* sign = std::get_if<Unary>(&left->node);
    const bool sign_last = variables_ > before && sign && sign->op == UnaryOp::kNegate &&
                           std::holds_alternative<Literal>(sign->operand->node);
    ExprPtr base = sign_last ? std::move(sign->operand) : std::move(left);
    const Expr *l = base.get(), *r = right.get();
    left = make(line, Binary{BinaryOp::kPow, std::move(base), std::move(right)}, {l, r});
    if (!sign_last) continue;
    const Expr* power = left.get();
    left = make(line, Unary{UnaryOp::kNegate, std::move(left)}, {power});
  }
  return left;
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  const int line = tokens_.line();
  ExprPtr value;
  if (tokens_.is_operator("-") || tokens_.is_operator("+")) {
    const DepthGuard guard(depth, kMaxSourceDepth, kSourceTooDeep);
    const UnaryOp op = tokens_.next().text == "-" ? UnaryOp::kNegate : UnaryOp::kPlus;
    ExprPtr operand = parse_unary(false);
    const Expr* o = operand.get();
    value = make(line, Unary{op, std::move(operand)}, {o});
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

ExprPtr ExpressionParser::parse_primary() {
  const int line = tokens_.line();
  switch (tokens_.current().kind) {
    case Kind::kName: {
      const std::string name = tokens_.next().text;
      if (name == "true" || name == "True") return make(line, Literal{Value(true)}, {});
      if (name == "false" || name == "False") return make(line, Literal{Value(false)}, {});
      if (name == "none" || name == "None") return make(line, Literal{Value()}, {});
      ++variables_;
      if (!names_bound.contains(name)) names_read.insert(name);
      return make(line, Name{name}, {});
    }
    case Kind::kString: {
      std::string text;
      while (tokens_.is(Kind::kString)) text += tokens_.next().text;
      return make(line, Literal{Value(std::move(text))}, {});
    }
    case Kind::kInteger:
    case Kind::kFloat:
      return parse_literal_number();
    default:
      break;
  }
  if (tokens_.is_operator("(")) return parse_parentheses();
  if (tokens_.is_operator("[")) return parse_list();
  if (tokens_.is_operator("{")) return parse_dict();
  tokens_.fail(fmt::format("unexpected {}", tokens_.describe()));
}

ExprPtr ExpressionParser::parse_literal_number() {
  const Token token = tokens_.next();
  const std::string& text = token.text;
  if (token.kind == Kind::kFloat) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return make(token.line, Literal{Value(value)}, {});
  }
  const char base = text.size() > 1 ? static_cast<char>(text[1] | 0x20) : '\0';
  const int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 10;
  int64_t value = 0;
  const char* first = text.data() + (radix == 10 ? 0 : 2);
  if (std::from_chars(first, text.data() + text.size(), value, radix).ec != std::errc()) {
    TokenStream::fail_at(token.line, "an integer is beyond 64 bits");
  }
  return make(token.line, Literal{Value(value)}, {});
}

ExprPtr ExpressionParser::parse_parentheses() {
  const int line = tokens_.next().line;
  if (tokens_.skip_operator(")")) {
    return make(line, SequenceLiteral{Sequence::Kind::kTuple, {}}, {});
  }
  ExprPtr value = parse_tuple();
  tokens_.expect_operator(")");
  return value;
}

ExprPtr ExpressionParser::parse_list() {
  const int line = tokens_.next().line;
  SequenceLiteral list{Sequence::Kind::kList, {}};
  while (!tokens_.is_operator("]")) {
    if (!list.items.empty()) tokens_.expect_operator(",");
    if (tokens_.is_operator("]")) break;
    list.items.push_back(parse_expression());
  }
  tokens_.expect_operator("]");
  return make(line, std::move(list), {});
}

ExprPtr ExpressionParser::parse_dict() {
  const int line = tokens_.next().line;
  DictLiteral dict;
  while (!tokens_.is_operator("}")) {
    if (!dict.entries.empty()) tokens_.expect_operator(",");
    if (tokens_.is_operator("}")) break;
    ExprPtr key = parse_expression();
    tokens_.expect_operator(":");
    dict.entries.emplace_back(std::move(key), parse_expression());
  }
  tokens_.expect_operator("}");
  return make(line, std::move(dict), {});
}

bool ExpressionParser::at_tuple_end(std::string_view stop) const {
  return tokens_.is(Kind::kVariableEnd) || tokens_.is(Kind::kBlockEnd) ||
         tokens_.is_operator(")") || (!stop.empty() && tokens_.is_name(stop));
}

ExprPtr ExpressionParser::parse_tuple(bool with_conditional, std::string_view stop) {
  const int line = tokens_.line();
  SequenceLiteral tuple{Sequence::Kind::kTuple, {}};
  bool has_comma = false;
  do {
    if (at_tuple_end(stop)) break;
    tuple.items.push_back(with_conditional ? parse_expression() : parse_or());
    if (!tokens_.is_operator(",")) break;
    has_comma = true;
  } while (tokens_.skip_operator(","));
  if (has_comma) return make(line, std::move(tuple), {});
  if (tuple.items.empty()) {
    tokens_.fail(fmt::format("expected an expression, got {}", tokens_.describe()));
  }
  return std::move(tuple.items[0]);
}

void ExpressionParser::bind(const std::string& name) {
  if (!names_read.contains(name)) names_bound.insert(name);
}

Target ExpressionParser::parse_target(bool with_namespace, std::string_view stop) {
  Target target = parse_target_part(with_namespace);
  if (!tokens_.is_operator(",")) return target;
  Target tuple;
  tuple.is_tuple = true;
  tuple.parts.push_back(std::move(target));
  while (tokens_.skip_operator(",")) {
    if (at_tuple_end(stop) || tokens_.is_operator("=")) break;
    tuple.parts.push_back(parse_target_part(with_namespace));
  }
  return tuple;
}

Target ExpressionParser::parse_target_part(bool with_namespace) {
  const DepthGuard guard(depth, kMaxSourceDepth, kSourceTooDeep);
  if (tokens_.skip_operator("(")) {
    Target target = parse_target(with_namespace);
    tokens_.expect_operator(")");
    return target;
  }
  Target target;
  target.name = tokens_.expect_any_name();
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (target.name == constant) tokens_.fail("a constant can not be assigned to");
  }
  if (with_namespace && tokens_.skip_operator(".")) {
    target.attribute = tokens_.expect_any_name();
  } else {
    bind(target.name);
  }
  return target;
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr subject) {
  for (;;) {
    if (tokens_.is_operator(".") || tokens_.is_operator("[")) {
      subject = parse_subscript(std::move(subject));
    } else if (tokens_.is_operator("(")) {
      subject = parse_call(std::move(subject));
    } else {
      return subject;
    }
  }
}

ExprPtr ExpressionParser::parse_filters_and_tests(ExprPtr subject) {
  for (;;) {
    if (tokens_.is_operator("|")) {
      subject = parse_filters(std::move(subject), false);
    } else if (tokens_.is_name("is")) {
      subject = parse_test(std::move(subject));
    } else if (tokens_.is_operator("(")) {
      subject = parse_call(std::move(subject));
    } else {
      return subject;
    }
  }
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr object) {
  const DepthGuard guard(depth, kMaxSourceDepth, kSourceTooDeep);
  const Token opener = tokens_.next();
  const Expr* o = object.get();
  if (opener.text == ".") {
    if (tokens_.is(Kind::kInteger)) {
      ExprPtr key = parse_literal_number();
      return make(opener.line, Item{std::move(object), std::move(key)}, {o});
    }
    return make(opener.line, Attribute{std::move(object), tokens_.expect_any_name()}, {o});
  }
  const auto at_end = [&] { return tokens_.is_operator("]") || tokens_.is_operator(":"); };
  ExprPtr start = at_end() ? nullptr : parse_expression();
  if (tokens_.is_operator(",") || (!start && tokens_.is_operator("]"))) {
    SequenceLiteral tuple{Sequence::Kind::kTuple, {}};
    if (start) tuple.items.push_back(std::move(start));
    while (tokens_.skip_operator(",")) tuple.items.push_back(parse_expression());
    start = make(opener.line, std::move(tuple), {});
  }
  if (start && tokens_.skip_operator("]")) {
    const Expr* s = start.get();
    return make(opener.line, Item{std::move(object), std::move(start)}, {o, s});
  }
  ExprPtr stop, step;
  tokens_.expect_operator(":");
  if (!at_end()) stop = parse_expression();
  if (tokens_.skip_operator(":") && !at_end()) step = parse_expression();
  tokens_.expect_operator("]");
  const Expr *a = start.get(), *b = stop.get(), *c = step.get();
  return make(opener.line,
              Slice{std::move(object), std::move(start), std::move(stop), std::move(step)},
              {o, a, b, c});
}

ExprPtr ExpressionParser::parse_call(ExprPtr callee) {
  const int line = tokens_.line();
  ++variables_;
  const Expr* c = callee.get();
  CallArguments arguments = parse_arguments();
  return make(line, Call{std::move(callee), std::move(arguments)}, {c});
}

CallArguments ExpressionParser::parse_arguments() {
  tokens_.expect_operator("(");
  CallArguments out;
  const auto ensure = [&](bool valid) {
    if (!valid) tokens_.fail("the arguments of a call are in a wrong order");
  };
  bool need_comma = false;
  while (!tokens_.is_operator(")")) {
    if (need_comma) tokens_.expect_operator(",");
    if (tokens_.is_operator(")")) break;
    need_comma = true;
    if (tokens_.skip_operator("**")) {
      ensure(!out.star_star);
      out.star_star = parse_expression();
    } else if (tokens_.skip_operator("*")) {
      ensure(!out.star && !out.star_star);
      out.star = parse_expression();
    } else if (tokens_.is(Kind::kName) && tokens_.look().kind == Kind::kOperator &&
               tokens_.look().text == "=") {
      ensure(!out.star_star);
      std::string name = tokens_.next().text;
      tokens_.next();
      for (const auto& [other, value] : out.named) {
        if (other == name) tokens_.fail(fmt::format("the argument '{}' is given twice", name));
      }
      out.named.emplace_back(std::move(name), parse_expression());
    } else {
      ensure(!out.star && !out.star_star && out.named.empty());
      out.positional.push_back(parse_expression());
    }
  }
  tokens_.expect_operator(")");
  return out;
}

std::string ExpressionParser::parse_dotted_name() {
  std::string name = tokens_.expect_any_name();
  while (tokens_.skip_operator(".")) name += "." + tokens_.expect_any_name();
  return name;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr subject, bool inline_start) {
  while (inline_start || tokens_.skip_operator("|")) {
    inline_start = false;
    const int line = tokens_.line();
    std::string name = parse_dotted_name();
    if (!find_filter(name)) note_unknown(line, fmt::format("there is no filter '{}'", name));
    CallArguments arguments;
    if (tokens_.is_operator("(")) arguments = parse_arguments();
    const Expr* s = subject.get();
    subject = make(line, Filter{std::move(subject), std::move(name), std::move(arguments)}, {s});
  }
  return subject;
}

ExprPtr ExpressionParser::parse_test(ExprPtr subject) {
  const int line = tokens_.next().line;
  const bool negated = tokens_.skip_name("not");
  std::string name = parse_dotted_name();
  if (!find_test(name)) note_unknown(line, fmt::format("there is no test '{}'", name));
  CallArguments arguments;
  const bool at_value = tokens_.is(Kind::kName) || tokens_.is(Kind::kString) ||
                        tokens_.is(Kind::kInteger) || tokens_.is(Kind::kFloat) ||
                        tokens_.is_operator("[") || tokens_.is_operator("{");
  if (tokens_.is_operator("(")) {
    arguments = parse_arguments();
  } else if (at_value && !tokens_.is_name("else") && !tokens_.is_name("or") &&
             !tokens_.is_name("and")) {
    if (tokens_.is_name("is")) tokens_.fail("tests can not be chained with 'is'");
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  const Expr* s = subject.get();
  ExprPtr test = make(line, Test{std::move(subject), std::move(name), std::move(arguments)}, {s});
  if (!negated) return test;
  const Expr* t = test.get();
  return make(line, Unary{UnaryOp::kNot, std::move(test)}, {t});
}

}  // namespace nibble::jinja
