// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "nibble/text/jinja/expression_parser.h"
#include "nibble/text/jinja/limits.h"

namespace nibble::jinja {
namespace {

using namespace ast;
using Kind = Token::Kind;
using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::string_view source)
      : tokens_(tokenize(source)), expressions_(tokens_) {}

  Body parse_template() { return parse_until({}); }

 private:
  // Statements up to a tag named in `ends`, which stays current (behind its "{%"); to the end of
  // the template when `ends` is empty.
  Body parse_until(Names ends) {
    const DepthGuard guard(expressions_.depth, kMaxSourceDepth,
                           "the template is nested too deeply");
    Body body;
    while (!tokens_.is(Kind::kEnd)) {
      const int line = tokens_.line();
      const Token token = tokens_.next();
      if (token.kind == Kind::kData) {
        body.push_back({line, Data{token.text}});
      } else if (token.kind == Kind::kVariableBegin) {
        Output output;
        output.values.push_back(expressions_.parse_tuple());
        expressions_.check_names();
        tokens_.expect(Kind::kVariableEnd, "'}}'");
        body.push_back({line, std::move(output)});
      } else {
        if (at_any(ends)) return body;
        body.push_back(parse_tag());
        expressions_.check_names();
        tokens_.expect(Kind::kBlockEnd, "'%}'");
      }
    }
    if (ends.size() > 0) {
      tokens_.fail(fmt::format("the template ends before {{% {} %}}", *(ends.end() - 1)));
    }
    return body;
  }

  // A body behind the rest of its opening tag, up to and with the name of its closing tag.
  Body parse_body(Names ends) {
    expressions_.check_names();
    tokens_.skip_operator(":");
    tokens_.expect(Kind::kBlockEnd, "'%}'");
    return parse_until(ends);
  }
  Body parse_closed_body(std::string_view end) {
    Body body = parse_body({end});
    tokens_.next();
    return body;
  }

  // Calls `parse` with unknown filters and tests refused even inside conditionals: what opens a
  // scope of its own is no part of them to Jinja2.
  template <typename F>
  auto with_early_names(F parse) {
    const bool outer = std::exchange(expressions_.late_names, false);
    auto parsed = parse();
    expressions_.late_names = outer;
    return parsed;
  }

  // The body of a tag that Jinja2 gives variables of its own: names are checked early again.
  Body parse_scoped_body(std::string_view end) {
    return with_early_names([&] { return parse_closed_body(end); });
  }

  bool at_any(Names names) const {
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return tokens_.is_name(name); });
  }

  Statement parse_tag() {
    const int line = tokens_.line();
    if (!tokens_.is(Kind::kName)) {
      tokens_.fail(fmt::format("expected a tag name, got {}", tokens_.describe()));
    }
    const std::string tag = tokens_.next().text;
    if (tag == "for") return {line, parse_for()};
    if (tag == "if") return {line, parse_if()};
    if (tag == "set") return parse_set(line);
    if (tag == "macro") return {line, parse_macro()};
    if (tag == "call") return {line, parse_call_block(line)};
    if (tag == "filter") return {line, parse_filter_block()};
    if (tag == "with") return {line, parse_with()};
    if (tag == "print") return {line, parse_print()};
    if (tag == "generation") return {line, parse_generation()};
    if (tag == "block") return {line, parse_block()};
    if (tag == "autoescape") return {line, parse_autoescape()};
    if (tag == "break" || tag == "continue") {
      if (loop_depth_ == 0) TokenStream::fail_at(line, fmt::format("'{}' outside a loop", tag));
      return tag == "break" ? Statement{line, Break{}} : Statement{line, Continue{}};
    }
    if (tag == "extends" || tag == "include" || tag == "import" || tag == "from") {
      TokenStream::fail_at(line, "a chat template can not load other templates");
    }
    TokenStream::fail_at(line, fmt::format("unknown tag '{}'", tag));
  }

  // Jinja2 keeps `loop` for itself everywhere inside a loop.
  Target parse_target(bool with_namespace, std::string_view stop = {}) {
    Target target = expressions_.parse_target(with_namespace, stop);
    if (inside_for_ > 0) refuse_loop(target);
    return target;
  }
  void refuse_loop(const Target& target) const {
    if (target.name == "loop" && target.attribute.empty()) {
      tokens_.fail("'loop' can not be assigned to inside a loop");
    }
    for (const Target& part : target.parts) refuse_loop(part);
  }

  For parse_for() {
    For loop;
    ++inside_for_;
    loop.target = parse_target(false, "in");
    tokens_.expect_name("in");
    loop.iterable = expressions_.parse_tuple(false, "recursive");
    const bool outer = std::exchange(expressions_.late_names, false);
    if (tokens_.skip_name("if")) loop.condition = expressions_.parse_expression();
    loop.recursive = tokens_.skip_name("recursive");
    ++loop_depth_;
    loop.body = parse_body({"else", "endfor"});
    --loop_depth_;
    if (tokens_.next().text == "else") loop.otherwise = parse_closed_body("endfor");
    expressions_.late_names = outer;
    --inside_for_;
    return loop;
  }

  If parse_if() {
    If branches;
    const bool outer = std::exchange(expressions_.late_names, true);
    std::string tag = "elif";
    while (tag == "elif") {
      ExprPtr test = expressions_.parse_tuple(false);
      Body body = parse_body({"elif", "else", "endif"});
      branches.branches.emplace_back(std::move(test), std::move(body));
      tag = tokens_.next().text;
    }
    if (tag == "else") branches.otherwise = parse_closed_body("endif");
    expressions_.late_names = outer;
    return branches;
  }

  Statement parse_set(int line) {
    Target target = parse_target(true);
    if (tokens_.skip_operator("="))
      return {line, Set{std::move(target), expressions_.parse_tuple()}};
    ExprPtr filter = with_early_names([&] { return expressions_.parse_filters(nullptr, false); });
    Body body = parse_scoped_body("endset");
    return {line, SetBlock{std::move(target), std::move(filter), std::move(body)}};
  }

  void parse_signature(Callable& callable) {
    tokens_.expect_operator("(");
    while (!tokens_.is_operator(")")) {
      if (!callable.parameters.empty()) tokens_.expect_operator(",");
      callable.parameters.push_back(tokens_.expect_any_name());
      expressions_.bind(callable.parameters.back());
      if (tokens_.skip_operator("=")) {
        callable.defaults.push_back(
            with_early_names([&] { return expressions_.parse_expression(); }));
      } else if (!callable.defaults.empty()) {
        tokens_.fail("a parameter without default follows one with default");
      }
    }
    tokens_.expect_operator(")");
  }

  // The body of a macro or call block; loops outside do not reach into it.
  void parse_callable_body(Callable& callable, std::string_view end) {
    const int outer_loops = std::exchange(loop_depth_, 0);
    std::set<std::string> outer_names = std::exchange(expressions_.names_read, {});
    std::set<std::string> outer_bound = std::exchange(expressions_.names_bound, {});
    callable.body = parse_scoped_body(end);
    const auto uses = [&](const char* name) {
      return expressions_.names_read.contains(name) &&
             std::find(callable.parameters.begin(), callable.parameters.end(), name) ==
                 callable.parameters.end();
    };
    callable.uses_caller = uses("caller");
    callable.uses_varargs = uses("varargs");
    callable.uses_kwargs = uses("kwargs");
    // To the macro around, what was read here counts unless it was bound before.
    std::set<std::string> names = std::exchange(expressions_.names_read, std::move(outer_names));
    std::set<std::string> bound = std::exchange(expressions_.names_bound, std::move(outer_bound));
    std::erase_if(names, [&](const auto& n) { return expressions_.names_bound.contains(n); });
    expressions_.names_read.merge(names);
    for (const std::string& name : bound) expressions_.bind(name);
    loop_depth_ = outer_loops;
  }

  Macro parse_macro() {
    auto callable = std::make_shared<Callable>();
    callable->name = tokens_.expect_any_name();
    if (inside_for_ > 0 && callable->name == "loop")
      tokens_.fail("a macro can not be named 'loop'");
    parse_signature(*callable);
    parse_callable_body(*callable, "endmacro");
    return {std::move(callable)};
  }

  CallBlock parse_call_block(int line) {
    auto callable = std::make_shared<Callable>();
    if (tokens_.is_operator("(")) parse_signature(*callable);
    ExprPtr call = expressions_.parse_expression();
    if (!std::holds_alternative<Call>(call->node)) {
      TokenStream::fail_at(line, "a call block needs a call");
    }
    parse_callable_body(*callable, "endcall");
    return {std::move(callable), std::move(call)};
  }

  FilterBlock parse_filter_block() {
    ExprPtr filter = with_early_names([&] { return expressions_.parse_filters(nullptr, true); });
    return {std::move(filter), parse_scoped_body("endfilter")};
  }

  With parse_with() {
    With with;
    while (!tokens_.is(Kind::kBlockEnd)) {
      if (!with.bindings.empty()) tokens_.expect_operator(",");
      Target target = parse_target(false);
      tokens_.expect_operator("=");
      with.bindings.emplace_back(std::move(target), expressions_.parse_expression());
    }
    with.body = parse_scoped_body("endwith");
    return with;
  }

  Output parse_print() {
    Output output;
    while (!tokens_.is(Kind::kBlockEnd)) {
      if (!output.values.empty()) tokens_.expect_operator(",");
      output.values.push_back(expressions_.parse_expression());
    }
    return output;
  }

  Generation parse_generation() {
    auto callable = std::make_shared<Callable>();
    parse_callable_body(*callable, "endgeneration");
    return {std::move(callable)};
  }

  Autoescape parse_autoescape() {
    ExprPtr enabled = expressions_.parse_expression();
    return {std::move(enabled), parse_scoped_body("endautoescape")};
  }

  Scoped parse_block() {
    const std::string name = tokens_.expect_any_name();
    if (!blocks_.insert(name).second)
      tokens_.fail(fmt::format("block '{}' is defined twice", name));
    Scoped scoped{{}, tokens_.skip_name("scoped")};
    const int outer_loops = std::exchange(loop_depth_, 0);
    const std::set<std::string> names = expressions_.names_read, bound = expressions_.names_bound;
    scoped.body = parse_scoped_body("endblock");
    expressions_.names_read = names;  // a macro around does not look into a block
    expressions_.names_bound = bound;
    loop_depth_ = outer_loops;
    tokens_.skip_name(name);
    return scoped;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::set<std::string> blocks_;
  int loop_depth_ = 0;  // loops that break and continue can mean here
  int inside_for_ = 0;  // all loops around, through macros too
};

}  // namespace

Body parse(std::string_view source) { return StatementParser(source).parse_template(); }

std::string literals(std::string_view source) {
  std::string out;
  Kind before = Kind::kEnd;
  for (const Token& token : tokenize(source)) {
    const bool adjoins = token.kind == Kind::kString && before == Kind::kString;  // 'a' 'b' is 'ab'
    if (!adjoins) out += '\0';
    if (token.kind == Kind::kString || token.kind == Kind::kData) out += token.text;
    before = token.kind;
  }
  return out;
}

}  // namespace nibble::jinja
