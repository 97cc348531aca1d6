// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/chat_inputs.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/parser.h"

namespace nibble {
namespace {

using jinja::Interpreter;
using jinja::JsonString;
using jinja::Text;
using jinja::Value;
using Json = nlohmann::ordered_json;

// Messages of errors quote the template, which is a stranger's text.
std::string one_line(std::string_view text) {
  constexpr size_t kMaxShown = 400;
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return text.size() > kMaxShown ? repair_utf8(out) + "..." : out;
}

bool is_plain_word(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

// The strings of the value that a field or variable `name` has. Roles and types steer the template
// and are chosen by the application, unless they look like more than that.
jinja::OriginRule words_of(TextOrigin origin, std::string name = {}) {
  return [origin, name = std::move(name)](const JsonString& string) {
    const std::string_view key = string.depth == 0 ? name : string.key;
    const bool is_label = !string.is_key && (key == "role" || key == "type");
    return is_label && is_plain_word(string.text) ? TextOrigin::kTemplate : origin;
  };
}

// What the model says in a message of its own, other than calls of tools.
bool is_speech(std::string_view field) {
  return field == "content" || field == "reasoning_content" || field == "thinking" ||
         field == "reasoning";
}

Value messages_value(const Json& messages, jinja::Budget& budget) {
  std::vector<Value> values;
  for (const Json& message : messages) {
    const bool by_model = message.contains("role") && message["role"] == "assistant";
    jinja::Dict fields;
    for (const auto& [name, value] : message.items()) {
      const TextOrigin origin =
          by_model && is_speech(name) ? TextOrigin::kModel : TextOrigin::kUser;
      fields.set(Value(repair_utf8(name)), jinja::from_json(value, words_of(origin, name), budget),
                 budget);
    }
    values.push_back(Value::dict(std::move(fields)));
  }
  return Value::list(std::move(values));
}

void set_all(Interpreter& interpreter, const Json& variables, const jinja::OriginRule& rule,
             const char* what) {
  if (variables.is_null()) return;
  if (!variables.is_object()) throw Error(fmt::format("{} are not an object", what));
  for (const auto& [name, value] : variables.items()) {
    interpreter.set_variable(name, jinja::from_json(value, rule, interpreter.budget()));
  }
}

}  // namespace

struct ChatTemplate::Parsed {
  std::string source;
  jinja::ast::Body body;
  std::string literals;  // texts and strings of the template, a zero byte between them
  Text render(const std::string& name, const ChatTemplateInputs& inputs) const;
};

Text ChatTemplate::Parsed::render(const std::string& name, const ChatTemplateInputs& inputs) const {
  const PreparedChat chat(inputs, source);
  Interpreter interpreter(inputs.now.value_or(std::chrono::system_clock::now()));
  const auto user = words_of(TextOrigin::kUser);
  set_all(
      interpreter, inputs.special_tokens, [](const auto&) { return TextOrigin::kTemplate; },
      "the special tokens of a chat template");
  set_all(interpreter, inputs.extra, user, "the further variables of a chat template");
  interpreter.set_variable("messages", messages_value(chat.messages(), interpreter.budget()));
  interpreter.set_variable("tools", jinja::from_json(inputs.tools, user, interpreter.budget()));
  interpreter.set_variable("documents",
                           jinja::from_json(inputs.documents, user, interpreter.budget()));
  interpreter.set_variable("add_generation_prompt", Value(inputs.add_generation_prompt));
  Text rendered;
  try {
    rendered = interpreter.render(body);
  } catch (const Error& error) {
    throw Error(fmt::format("{}, line {}: {}", name, interpreter.line(), one_line(error.what())));
  }
  return chat.finish(rendered);
}

ChatTemplate::ChatTemplate(std::string_view source, std::string_view name) : name_(name) {
  try {
    parsed_ = std::make_unique<const Parsed>(
        Parsed{std::string(source), jinja::parse(source), jinja::literals(source)});
  } catch (const Error& error) {
    throw Error(fmt::format("{}, {}", name, one_line(error.what())));
  }
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const ChatTemplateInputs& inputs) const {
  return parsed_->render(name_, inputs).bytes();
}

std::vector<RenderedPiece> ChatTemplate::render_pieces(const ChatTemplateInputs& inputs) const {
  std::vector<RenderedPiece> pieces;
  parsed_->render(name_, inputs).for_each_run([&](std::string_view run, TextOrigin origin) {
    pieces.push_back({std::string(run), origin});
  });
  return pieces;
}

bool ChatTemplate::spells(std::string_view text) const {
  return parsed_->literals.find(text) != std::string::npos;
}

}  // namespace nibble
