// SPDX-License-Identifier: Apache-2.0
//
// A conversation as the token ids that a model's chat template makes of it: transformers'
// apply_chat_template(). Where a message spells a special token, that stays plain text, so that
// nobody can speak as the system or end a turn from inside a message (prompt_encoder.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/generate/prompt_encoder.h"
#include "nibble/text/chat_template.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

class ChatPrompt {
 public:
  // With the model's template of this name; without a name its "tool_use" for chats with tools,
  // where it has one, else its "default". `model` is named in errors. Throws Error when the model
  // has no such template, or one that cannot be read.
  ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, const std::string& model,
             const std::string& template_name = {});
  // With a template from elsewhere.
  ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat_template);

  // The template sees the tokenizer's special tokens besides `inputs.special_tokens`. Throws Error
  // for a chat without messages and where the template refuses it.
  std::vector<int32_t> encode(ChatTemplateInputs inputs) const;

 private:
  struct Choice {
    ChatTemplate chat_template;
    PromptEncoder encoder;
  };
  Choice choice(ChatTemplate chat_template) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<Choice> default_, tool_use_;
  std::string model_;
};

}  // namespace nibble
