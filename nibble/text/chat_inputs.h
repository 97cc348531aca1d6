// SPDX-License-Identifier: Apache-2.0
//
// What transformers does to a conversation before a template sees it and to the text that comes
// out: fields that are null vanish, reasoning is found under each of its names, and a last message
// that is to be continued is cut off where it ends.
#pragma once

#include <string>
#include <string_view>

#include "nibble/text/chat_template.h"
#include "nibble/text/jinja/text.h"

namespace nibble {

class PreparedChat {
 public:
  // `source` is the template's. Throws Error for messages that are no list of objects, documents
  // that are none, and a last message that can not be continued.
  PreparedChat(const ChatTemplateInputs& inputs, std::string_view source);

  const nlohmann::ordered_json& messages() const { return messages_; }

  // The prompt that the rendered text of messages() stands for.
  jinja::Text finish(const jinja::Text& rendered) const;

 private:
  void mark_end_of_last_message(const std::string& field, std::string_view source);

  nlohmann::ordered_json messages_;
  bool continues_ = false;
  std::string last_text_;  // what is continued
};

}  // namespace nibble
