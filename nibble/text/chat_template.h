// SPDX-License-Identifier: Apache-2.0
//
// Chat templates: the Jinja source that a model ships, and the prompt text it makes of a
// conversation. Renders what transformers' apply_chat_template() renders (Jinja2 3.1), in a sandbox
// of its own: a template reaches nothing but its inputs and a clock, and is stopped when it takes
// too long or too much (jinja/limits.h). Integers are 64 bits wide.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja/origin.h"

namespace nibble {

struct ChatTemplateInputs {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();  // of {role, content, ...}
  nlohmann::ordered_json tools;      // a list of JSON schemas; null: none
  nlohmann::ordered_json documents;  // a list of {title, text}; null: none
  bool add_generation_prompt = true;
  // The field of the last message, e.g. "content", that the model shall go on writing: the prompt
  // ends with it. Empty: none. Excludes add_generation_prompt.
  std::string continue_final_message;
  nlohmann::ordered_json special_tokens;  // an object: bos_token, eos_token, ...
  nlohmann::ordered_json extra;           // an object of further variables: enable_thinking, ...
  std::optional<std::chrono::system_clock::time_point> now;  // for strftime_now; unset: the clock
};

// A part of a prompt of one origin.
struct RenderedPiece {
  std::string text;
  TextOrigin origin;
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

  // The same text in maximal pieces of one origin. Numbers and booleans have none: what a template
  // makes of them counts as its own. So do a role and a "type" that are one plain word, which
  // applications choose and some templates build special tokens with.
  std::vector<RenderedPiece> render_pieces(const ChatTemplateInputs& inputs) const;

  // Whether the template itself spells `text`: between its tags, or in a string literal.
  bool spells(std::string_view text) const;

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
  std::string name_;
};

}  // namespace nibble
