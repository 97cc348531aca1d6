// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/chat_template.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/parser.h"

namespace nibble {
namespace {

using jinja::Interpreter;
using jinja::Text;

// Messages of errors quote the template, which is a stranger's text.
std::string one_line(std::string_view text) {
  constexpr size_t kMaxShown = 400;
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return text.size() > kMaxShown ? repair_utf8(out) + "..." : out;
}

// Roles and content types steer the template and are chosen by the application; the keys of a
// message are its structure. All else in a message is somebody's text.
bool is_message_text(const std::vector<std::string>& path, bool is_key) {
  if (is_key) return path.size() > 2;
  return path.empty() || (path.back() != "role" && path.back() != "type");
}

Text render_text(const jinja::ast::Body& body, const std::string& name,
                 const ChatTemplateInputs& inputs) {
  if (!inputs.messages.is_array()) throw Error("chat messages are not a list");
  if (!inputs.extra.is_null() && !inputs.extra.is_object()) {
    throw Error("the further variables of a chat template are not an object");
  }
  Interpreter interpreter(inputs.now.value_or(std::chrono::system_clock::now()));
  const auto trusted = [](const auto&, bool) { return false; };
  const auto documents_text = [](const auto&, bool) { return true; };
  const auto set = [&](const std::string& variable, const nlohmann::ordered_json& json,
                       const jinja::OriginRule& origin) {
    interpreter.set_variable(variable, jinja::from_json(json, origin, interpreter.budget()));
  };
  for (const auto& [variable, value] : inputs.extra.items()) set(variable, value, trusted);
  set("messages", inputs.messages, is_message_text);
  set("tools", inputs.tools, trusted);
  set("documents", inputs.documents, documents_text);
  set("add_generation_prompt", inputs.add_generation_prompt, trusted);
  try {
    return interpreter.render(body);
  } catch (const Error& error) {
    throw Error(fmt::format("{}, line {}: {}", name, interpreter.line(), one_line(error.what())));
  }
}

}  // namespace

struct ChatTemplate::Parsed {
  jinja::ast::Body body;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string_view name) : name_(name) {
  try {
    parsed_ = std::make_unique<const Parsed>(Parsed{jinja::parse(source)});
  } catch (const Error& error) {
    throw Error(fmt::format("{}, {}", name, one_line(error.what())));
  }
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const ChatTemplateInputs& inputs) const {
  return render_text(parsed_->body, name_, inputs).bytes();
}

std::vector<RenderedPiece> ChatTemplate::render_pieces(const ChatTemplateInputs& inputs) const {
  std::vector<RenderedPiece> pieces;
  render_text(parsed_->body, name_, inputs).for_each_run([&](std::string_view run, bool from_user) {
    pieces.push_back({std::string(run), from_user});
  });
  return pieces;
}

}  // namespace nibble
