// SPDX-License-Identifier: Apache-2.0
//
// Rendered chat templates as token ids, such that only the template writes control tokens: the
// special tokens of a vocabulary, and those of its added tokens that the template itself spells,
// like <tool_call>. Where a message spells one, that is encoded as plain text. Ids equal
// transformers' apply_chat_template(): for text that spells no control token always, for other text
// when it is told to sanitize_control_tokens, which nibble always does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "nibble/text/added_tokens.h"
#include "nibble/text/chat_template.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

class PromptEncoder {
 public:
  // Asks `chat_template` what it spells; does not keep it.
  PromptEncoder(std::shared_ptr<const Tokenizer> tokenizer, const ChatTemplate& chat_template);

  // Throws Error when the vocabulary makes a control token of plain text.
  std::vector<int32_t> encode(const std::vector<RenderedPiece>& pieces) const;

 private:
  struct Part;
  // The text cut where somebody but the template spells a control token.
  std::vector<Part> cut(const std::vector<RenderedPiece>& pieces, const std::string& text) const;
  void append_text(const Part& part, bool is_first, std::vector<int32_t>& ids) const;
  void append_spelled(std::string_view text, std::vector<int32_t>& ids) const;
  std::vector<int32_t> encode_inside(std::string_view text, bool is_first, bool plain) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  TokenTrie controls_;  // texts to ids
  std::unordered_set<int32_t> control_ids_;
  std::vector<int32_t> newline_;
};

}  // namespace nibble
