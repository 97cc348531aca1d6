// SPDX-License-Identifier: Apache-2.0
//
// What `run --chat` and `chat` put into a chat template besides the messages.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "nibble/nibble.h"

namespace nibble::cli {

struct ChatTemplateOptions {
  std::string chat_template;  // a name, or a file with a template
  std::string tools;          // a file with a list of JSON schemas
  std::string documents;      // a file with a list of {title, text}
  std::string variables;      // a JSON object

  bool any() const {
    return !chat_template.empty() || !tools.empty() || !documents.empty() || !variables.empty();
  }
};

void add_chat_template_options(CLI::App& command, ChatTemplateOptions& options);

// The template that the options choose. Throws Error for one that is not there.
ChatPrompt chat_prompt(std::shared_ptr<const Tokenizer> tokenizer, const std::string& model,
                       const ChatTemplateOptions& options);

// A chat without messages yet, with a system message unless `system` is empty. Throws UsageError
// for variables that are no JSON object, Error for files that cannot be read.
ChatTemplateInputs chat_inputs(const std::string& system, const ChatTemplateOptions& options);

}  // namespace nibble::cli
