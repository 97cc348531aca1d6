// SPDX-License-Identifier: Apache-2.0
//
// Variables, statements and calls; jinja_evaluator.cc has the expressions.
#include "nibble/text/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja/filters.h"
#include "nibble/text/jinja/functions.h"
#include "nibble/text/jinja/loop.h"
#include "nibble/text/jinja/tests.h"

namespace nibble::jinja {
namespace {

constexpr const char* kRunsTooDeep = "the template recurses too deeply";

// Sets a flag for as long as it lives.
class Restored {
 public:
  Restored(bool& flag, bool value) : flag_(flag), outer_(std::exchange(flag, value)) {}
  ~Restored() { flag_ = outer_; }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  bool& flag_;
  bool outer_;
};

}  // namespace

Interpreter::Interpreter(std::chrono::system_clock::time_point now, const Limits& limits)
    : now_(now),
      budget_(limits),
      root_(std::make_shared<Scope>()),
      random_(static_cast<uint32_t>(now.time_since_epoch().count())) {}

size_t Interpreter::draw(size_t count) {
  return std::uniform_int_distribution<size_t>(0, count - 1)(random_);
}

Interpreter::~Interpreter() {
  for (const auto& space : namespaces_) space->attributes = {};
  for (const auto& scope : closures_) scope->variables.clear();
}

void Interpreter::set_variable(std::string name, Value value) {
  root_->variables.insert_or_assign(std::move(name), std::move(value));
}

Text Interpreter::render(const ast::Body& body) {
  run(body, root_);
  require_text();
  return std::move(output_);
}

Value Interpreter::make_namespace(Dict attributes) {
  for (const auto& [name, value] : attributes.entries) {
    if (name.text() && name.text()->bytes().starts_with('_')) {
      throw Error("a namespace attribute can not begin with an underscore");
    }
  }
  auto space = std::make_shared<Namespace>(Namespace{std::move(attributes)});
  namespaces_.push_back(space);
  return Value::name_space(std::move(space));
}

Interpreter::ScopePtr Interpreter::inner_scope(const ScopePtr& parent) {
  auto scope = std::make_shared<Scope>();
  scope->parent = parent;
  scope->depth = parent->depth + 1;
  if (scope->depth > kMaxDepth) throw Error(kRunsTooDeep);
  return scope;
}

Value Interpreter::look_up(const std::string& name, const Scope& scope) const {
  for (const Scope* at = &scope; at; at = at->parent.get()) {
    const auto found = at->variables.find(name);
    if (found != at->variables.end()) return found->second;
  }
  if (auto function = find_function(name)) return *function;
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

void Interpreter::assign(const ast::Target& target, const Value& value, Scope& scope) {
  if (target.is_tuple) {
    require_defined(value);
    const std::vector<Value> items = to_items(value, budget_);
    if (items.size() != target.parts.size()) {
      throw Error(fmt::format("{} values do not fit {} names", items.size(), target.parts.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i], scope);
  } else if (target.attribute.empty()) {
    scope.variables.insert_or_assign(target.name, value);
  } else {
    const Value owner = look_up(target.name, scope);
    if (!owner.name_space()) throw Error("only a namespace takes attributes");
    if (target.attribute.starts_with('_')) {
      throw Error("a namespace attribute can not begin with an underscore");
    }
    owner.name_space()->attributes.set(Value(target.attribute), value, budget_);
  }
}

void Interpreter::write(const Text& text) {
  budget_.spend_bytes(text.size());
  out_->append(text);
  if (static_cast<int64_t>(out_->size()) > budget_.limits().string_bytes) {
    throw Error("the template writes too much");
  }
}

Interpreter::Flow Interpreter::run(const ast::Body& body, const ScopePtr& scope) {
  const DepthGuard guard(depth_, kMaxDepth, kRunsTooDeep);
  for (const ast::Statement& statement : body) {
    budget_.spend_steps(1);
    line_ = statement.line;
    const Flow flow =
        std::visit([&](const auto& node) { return run(node, scope); }, statement.node);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

template <typename F>
auto Interpreter::capture(Text& captured, F produce) {
  struct Redirect {
    Text*& place;
    Text* outer;
    ~Redirect() { place = outer; }
  };
  const Redirect redirect{out_, std::exchange(out_, &captured)};
  const bool outer = std::exchange(no_text_, false);
  const auto result = produce();
  require_text();
  no_text_ = outer;
  return result;
}

void Interpreter::require_text() const {
  if (no_text_) throw Error("a filter block must give text");
}

Interpreter::Flow Interpreter::run(const ast::Data& data, const ScopePtr&) {
  write(Text(data.text));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const ast::Output& output, const ScopePtr& scope) {
  for (const ast::ExprPtr& value : output.values) {
    const Text text = to_text(eval(*value, scope), budget_);
    if (escapes_output_) budget_.spend_bytes(text.size() * kEscapingCost);
    write(escapes_output_ ? escape(text) : text);
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const ast::If& branches, const ScopePtr& scope) {
  for (const auto& [test, body] : branches.branches) {
    if (truthy(eval(*test, scope))) return run(body, scope);
  }
  return run(branches.otherwise, scope);
}

Interpreter::Flow Interpreter::run(const ast::Set& set, const ScopePtr& scope) {
  assign(set.target, eval(*set.value, scope), *scope);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const ast::SetBlock& set, const ScopePtr& scope) {
  Text text;
  const ScopePtr inner = inner_scope(scope);
  const Flow flow = capture(text, [&] { return run(set.body, inner); });
  if (flow != Flow::kNormal) return flow;
  text = as_markup_if_escaped(std::move(text));
  assign(set.target, set.filter ? filter_block(*set.filter, text, inner) : Value(text), *scope);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const ast::FilterBlock& block, const ScopePtr& scope) {
  Text text;
  const ScopePtr inner = inner_scope(scope);
  const Flow flow = capture(text, [&] { return run(block.body, inner); });
  text = as_markup_if_escaped(std::move(text));
  if (flow != Flow::kNormal) return flow;
  const Value filtered = filter_block(*block.filter, text, inner);
  // Only at the end of all text around does Jinja2 find that this is no part of it.
  if (filtered.text()) {
    write(*filtered.text());
  } else {
    no_text_ = true;
  }
  return flow;
}

Interpreter::Flow Interpreter::run(const ast::With& with, const ScopePtr& scope) {
  const ScopePtr inner = inner_scope(scope);
  for (const auto& [target, value] : with.bindings) assign(target, eval(*value, scope), *inner);
  return run(with.body, inner);
}

Interpreter::Flow Interpreter::run(const ast::Scoped& scoped, const ScopePtr& scope) {
  const Restored output(escapes_output_,
                        false);  // Jinja2 compiles blocks apart from {% autoescape %}
  return run(scoped.body, inner_scope(scoped.sees_locals ? scope : root_));
}

Interpreter::Flow Interpreter::run(const ast::Autoescape& block, const ScopePtr& scope) {
  const bool enabled = truthy(eval(*block.enabled, scope));
  const Restored filters(autoescape_, enabled), output(escapes_output_, enabled);
  return run(block.body, inner_scope(scope));
}

Text Interpreter::as_markup_if_escaped(Text text) const {
  return autoescape_ ? text.as_markup() : std::move(text);
}

Interpreter::Flow Interpreter::run(const ast::Generation& block, const ScopePtr& scope) {
  write(to_text(call(make_macro(block.callable, scope), {}), budget_));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const ast::Macro& macro, const ScopePtr& scope) {
  scope->variables.insert_or_assign(macro.callable->name, make_macro(macro.callable, scope));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run(const ast::CallBlock& block, const ScopePtr& scope) {
  const auto& call_node = std::get<ast::Call>(block.call->node);
  const Value callee = eval(*call_node.callee, scope);
  Arguments arguments = eval(call_node.arguments, scope);
  arguments.named.emplace_back(Text(std::string("caller")), make_macro(block.caller, scope));
  write(to_text(call(callee, arguments), budget_));
  return Flow::kNormal;
}

// ---- loops ----

// The items that pass the loop's own condition, which sees the loop's variables only.
Puller Interpreter::filtered(const ast::For& loop, const Value& iterable, const ScopePtr& scope) {
  return [this, &loop, scope, pull = iterate(iterable, budget_)]() -> std::optional<Value> {
    while (auto item = pull()) {
      const ScopePtr inner = inner_scope(scope);
      assign(loop.target, *item, *inner);
      if (truthy(eval(*loop.condition, inner))) return item;
    }
    return std::nullopt;
  };
}

Interpreter::Flow Interpreter::run(const ast::For& loop, const ScopePtr& scope) {
  return run_loop(loop, eval(*loop.iterable, scope), scope, 0);
}

Interpreter::Flow Interpreter::run_loop(const ast::For& loop, const Value& iterable,
                                        const ScopePtr& scope, int depth) {
  const DepthGuard guard(depth_, kMaxDepth, kRunsTooDeep);
  const bool is_filtered = loop.condition != nullptr;
  const auto state = std::make_shared<LoopState>(
      is_filtered ? filtered(loop, iterable, scope) : iterate(iterable, budget_),
      is_filtered ? std::nullopt : length_of(iterable), depth);
  std::function<Value(Interpreter&, const Arguments&)> recurse;
  if (loop.recursive) {
    recurse = [&loop, scope, depth](Interpreter& self, const Arguments& given) {
      const BoundArguments args("loop()", given, {"iterable"}, 1);
      Text text;
      self.capture(text, [&] { return self.run_loop(loop, *args[0], scope, depth + 1); });
      return Value(self.as_markup_if_escaped(std::move(text)));
    };
  }
  const Value loop_object = state->object(recurse, iterable.depth());
  bool ran = false;  // to its end: one that only breaks or continues counts as none in Jinja2
  while (auto item = state->next()) {
    budget_.spend_steps(1);
    const ScopePtr inner = inner_scope(scope);
    inner->variables.emplace("loop", loop_object);
    assign(loop.target, *item, *inner);
    const Flow flow = run(loop.body, inner);
    if (flow == Flow::kBreak) break;
    ran = ran || flow == Flow::kNormal;
  }
  state->forget();
  return ran ? Flow::kNormal : run(loop.otherwise, inner_scope(scope));
}

// ---- calls ----

Value Interpreter::make_macro(std::shared_ptr<const ast::Callable> callable,
                              const ScopePtr& closure) {
  if (closure != root_) closures_.push_back(closure);
  Object object;
  object.name = "Macro";
  object.shown = [callable] {
    return callable->name.empty() ? "<Macro anonymous>"
                                  : fmt::format("<Macro '{}'>", callable->name);
  };
  object.attribute = [callable](std::string_view name) -> std::optional<Value> {
    if (name == "name") return callable->name.empty() ? Value() : Value(callable->name);
    if (name == "arguments") {
      return Value::tuple({callable->parameters.begin(), callable->parameters.end()});
    }
    if (name == "catch_kwargs") return Value(callable->uses_kwargs);
    if (name == "catch_varargs") return Value(callable->uses_varargs);
    if (name == "caller") return Value(callable->uses_caller);
    return std::nullopt;
  };
  // The closure outlives the macro: closures_ and root_ hold it until the rendering ends.
  object.call = [callable, scope = std::weak_ptr(closure), escapes = escapes_output_](
                    Interpreter& self, const Arguments& given) {
    const Restored output(self.escapes_output_, escapes);
    return self.call_macro(*callable, scope.lock(), given);
  };
  return Value::object(std::move(object));
}

Value Interpreter::call_macro(const ast::Callable& callable, const ScopePtr& closure,
                              const Arguments& given) {
  const DepthGuard guard(depth_, kMaxDepth, kRunsTooDeep);
  const ScopePtr scope = inner_scope(closure);
  const auto& parameters = callable.parameters;
  const size_t placed = std::min(given.positional.size(), parameters.size());
  std::vector<std::pair<Text, Value>> named = given.named;
  const auto take = [&](const std::string& name) -> std::optional<Value> {
    const auto found = std::find_if(named.begin(), named.end(), [&](const auto& argument) {
      return argument.first.bytes() == name;
    });
    if (found == named.end()) return std::nullopt;
    Value value = std::move(found->second);
    named.erase(found);
    return value;
  };

  std::vector<std::optional<Value>> values(
      given.positional.begin(), given.positional.begin() + static_cast<ptrdiff_t>(placed));
  for (size_t i = placed; i < parameters.size(); ++i) values.push_back(take(parameters[i]));
  if (callable.uses_caller) {
    const auto caller = take("caller");
    scope->variables["caller"] = caller ? *caller : Value::undefined("No caller defined");
  }
  if (callable.uses_kwargs) {
    Dict rest;
    for (auto& [name, value] : std::exchange(named, {})) rest.set(Value(name), value, budget_);
    scope->variables["kwargs"] = Value::dict(std::move(rest));
  }
  if (callable.uses_varargs) {
    scope->variables["varargs"] = Value::tuple(std::vector<Value>(
        given.positional.begin() + static_cast<ptrdiff_t>(placed), given.positional.end()));
  } else if (given.positional.size() > parameters.size()) {
    throw Error(
        fmt::format("macro '{}' takes at most {} arguments", callable.name, parameters.size()));
  }
  if (!named.empty()) {
    throw Error(
        fmt::format("macro '{}' takes no argument '{}'", callable.name, named[0].first.bytes()));
  }

  // Defaults may read the parameters before them.
  const size_t first_default = parameters.size() - callable.defaults.size();
  for (size_t i = 0; i < parameters.size(); ++i) {
    Value value;
    if (values[i]) {
      value = *values[i];
    } else if (i >= first_default) {
      value = eval(*callable.defaults[i - first_default], scope);
    } else {
      value = Value::undefined(fmt::format("parameter '{}' was not provided", parameters[i]));
    }
    scope->variables.insert_or_assign(parameters[i], std::move(value));
  }
  Text text;
  capture(text, [&] { return run(callable.body, scope); });
  return as_markup_if_escaped(std::move(text));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  const DepthGuard guard(depth_, kMaxDepth, kRunsTooDeep);
  budget_.spend_steps(1);
  require_defined(callee);
  if (!callee.object() || !callee.object()->call) {
    throw Error(fmt::format("a {} can not be called", type_name(callee)));
  }
  return callee.object()->call(*this, arguments);
}

Value Interpreter::apply_filter(std::string_view name, const Value& subject,
                                const Arguments& arguments) {
  budget_.spend_steps(1);
  const FilterFunction filter = find_filter(name);
  if (!filter) throw Error(fmt::format("there is no filter '{}'", name));
  return filter(*this, subject, arguments);
}

bool Interpreter::apply_test(std::string_view name, const Value& subject,
                             const Arguments& arguments) {
  budget_.spend_steps(1);
  const TestFunction test = find_test(name);
  if (!test) throw Error(fmt::format("there is no test '{}'", name));
  return test(*this, subject, arguments);
}

}  // namespace nibble::jinja
