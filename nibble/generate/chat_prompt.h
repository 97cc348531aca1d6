// SPDX-License-Identifier: Apache-2.0
//
// A conversation as the token ids that a model's chat template makes of it. Equal to transformers'
// apply_chat_template for ordinary text; where a message spells a special token, that stays plain
// text, so that nobody can speak as the system or end a turn from inside a message.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nibble/text/chat_template.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

class ChatPrompt {
 public:
  // `model` is named in errors. Throws Error when the tokenizer has no chat template, or one that
  // cannot be read.
  ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, const std::string& model);

  // The template sees the tokenizer's special tokens besides `inputs.extra`. Throws Error where it
  // refuses the conversation.
  std::vector<int32_t> encode(ChatTemplateInputs inputs) const;

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
};

}  // namespace nibble
