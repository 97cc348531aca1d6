// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/chat_prompt.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// The template writes all special tokens itself.
constexpr EncodeOptions kOfTemplate{.add_special_tokens = false, .parse_special_tokens = true};
constexpr EncodeOptions kOfUser{.add_special_tokens = false, .parse_special_tokens = false};

std::string source_of(const Tokenizer& tokenizer, const std::string& model) {
  std::optional<std::string> source = tokenizer.chat_template();
  if (!source) {
    throw Error("the model has no chat template")
        .file(model)
        .hint("it was not made for conversations; give it plain text to continue");
  }
  return *std::move(source);
}

}  // namespace

ChatPrompt::ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, const std::string& model)
    : tokenizer_(std::move(tokenizer)), template_(source_of(*tokenizer_, model)) {}

std::vector<int32_t> ChatPrompt::encode(ChatTemplateInputs inputs) const {
  if (inputs.extra.is_null()) inputs.extra = nlohmann::ordered_json::object();
  const auto add = [&](const char* name, const std::string& token) {
    if (!token.empty() && !inputs.extra.contains(name)) inputs.extra[name] = token;
  };
  add("bos_token", tokenizer_->bos_token());
  add("eos_token", tokenizer_->eos_token());
  add("pad_token", tokenizer_->pad_token());
  add("unk_token", tokenizer_->unk_token());

  const std::vector<RenderedPiece> pieces = template_.render_pieces(inputs);
  const bool spells_special = std::ranges::any_of(pieces, [&](const RenderedPiece& piece) {
    return piece.from_user &&
           std::ranges::any_of(tokenizer_->encode(piece.text, kOfTemplate),
                               [&](int32_t id) { return tokenizer_->is_special(id); });
  });
  std::vector<int32_t> ids;
  if (!spells_special) {
    // In one go: a token may reach across the border of a message.
    std::string text;
    for (const RenderedPiece& piece : pieces) text += piece.text;
    ids = tokenizer_->encode(text, kOfTemplate);
  } else {
    for (const RenderedPiece& piece : pieces) {
      const auto more = tokenizer_->encode(piece.text, piece.from_user ? kOfUser : kOfTemplate);
      ids.insert(ids.end(), more.begin(), more.end());
    }
  }
  return ids;
}

}  // namespace nibble
