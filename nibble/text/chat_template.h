// SPDX-License-Identifier: Apache-2.0
//
// Chat templates: the Jinja source that a model ships, and the prompt text it makes of a
// conversation. Renders what Jinja2 3.1 renders under the settings of transformers, in a sandbox
// of its own: a template reaches nothing but its inputs and a clock, and is stopped when it takes
// too long or too much (jinja_limits.h). Integers are 64 bits wide.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

struct ChatTemplateInputs {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();  // of {role, content, ...}
  nlohmann::ordered_json tools;      // a list of JSON schemas; null: none
  nlohmann::ordered_json documents;  // a list of {title, text}; null: none
  bool add_generation_prompt = true;
  nlohmann::ordered_json extra;  // an object of further variables: bos_token, enable_thinking, ...
  std::optional<std::chrono::system_clock::time_point> now;  // for strftime_now; unset: the clock
};

// A part of a prompt of one origin.
struct RenderedPiece {
  std::string text;
  // The text stems from the conversation or its documents, not from the template, so that special
  // tokens spelled in it are just text. The values of "role" and "type" count as the template's:
  // applications choose them.
  bool from_user;
};

class ChatTemplate {
 public:
  // Throws Error that begins with `name` and the line for a template that can not be read.
  explicit ChatTemplate(std::string_view source, std::string_view name = "chat template");
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // Throws Error, with the line, where the template fails: also for a conversation that it
  // refuses by raise_exception(). Invalid UTF-8 in the inputs becomes U+FFFD. Thread-safe.
  std::string render(const ChatTemplateInputs& inputs) const;

  // The same text in maximal pieces of one origin.
  std::vector<RenderedPiece> render_pieces(const ChatTemplateInputs& inputs) const;

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
  std::string name_;
};

}  // namespace nibble
