// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/chat_prompt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

std::string names_of(const Tokenizer& tokenizer) {
  return fmt::format("{}", fmt::join(tokenizer.chat_template_names(), ", "));
}

std::string title(const std::string& model, const std::string& name) {
  return name == "default" ? model + ": chat template"
                           : fmt::format("{}: chat template \"{}\"", model, name);
}

}  // namespace

ChatPrompt::Choice ChatPrompt::choice(ChatTemplate chat_template) const {
  PromptEncoder encoder(tokenizer_, chat_template);
  return {std::move(chat_template), std::move(encoder)};
}

ChatPrompt::ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, const std::string& model,
                       const std::string& template_name)
    : tokenizer_(std::move(tokenizer)), model_(model) {
  if (tokenizer_->chat_template_names().empty()) {
    throw Error("the model has no chat template")
        .file(model)
        .hint("it was not made for conversations; give it plain text to continue");
  }
  const auto load = [&](const std::string& name) -> std::optional<Choice> {
    const auto source = tokenizer_->chat_template(name);
    if (!source) return std::nullopt;
    return choice(ChatTemplate(*source, title(model, name)));
  };
  if (template_name.empty()) {
    default_ = load("default");
    tool_use_ = load("tool_use");
    return;
  }
  default_ = load(template_name);
  if (!default_) {
    throw Error("the model has no chat template of this name")
        .file(model)
        .expected(names_of(*tokenizer_))
        .got(template_name);
  }
}

ChatPrompt::ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat_template)
    : tokenizer_(std::move(tokenizer)), default_(choice(std::move(chat_template))) {}

std::vector<int32_t> ChatPrompt::encode(ChatTemplateInputs inputs) const {
  if (inputs.messages.empty()) throw Error("a chat needs at least one message");
  if (inputs.special_tokens.is_null()) inputs.special_tokens = nlohmann::ordered_json::object();
  for (const auto& [name, token] : tokenizer_->special_tokens()) {
    if (!inputs.special_tokens.contains(name)) inputs.special_tokens[name] = token;
  }

  const std::optional<Choice>& chosen = !inputs.tools.is_null() && tool_use_ ? tool_use_ : default_;
  if (!chosen) {
    throw Error("the model has several chat templates, and none of them is the default")
        .file(model_)
        .hint("choose one of " + names_of(*tokenizer_));
  }
  return chosen->encoder.encode(chosen->chat_template.render_pieces(inputs));
}

}  // namespace nibble
