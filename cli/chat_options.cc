// SPDX-License-Identifier: Apache-2.0
#include "cli/chat_options.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/output.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) throw Error("the file cannot be read").file(path);
  return text;
}

Json read_list(const std::string& path) {
  if (path.empty()) return nullptr;
  Json list = read_json_file(path);
  if (!list.is_array()) throw Error("the file holds no JSON list").file(path);
  return list;
}

}  // namespace

void add_chat_template_options(CLI::App& command, ChatTemplateOptions& options) {
  command.add_option("--chat-template", options.chat_template,
                     "One of the model's chat templates by name, or a file with another");
  command.add_option("--tools", options.tools, "File with a JSON list of the functions to offer")
      ->check(CLI::ExistingFile);
  command
      .add_option("--documents", options.documents,
                  "File with a JSON list of documents to answer from")
      ->check(CLI::ExistingFile);
  command.add_option("--chat-template-kwargs", options.variables,
                     "Further variables of the template, e.g. '{\"enable_thinking\": false}'");
}

ChatPrompt chat_prompt(std::shared_ptr<const Tokenizer> tokenizer, const std::string& model,
                       const ChatTemplateOptions& options) {
  const std::string& chosen = options.chat_template;
  if (!chosen.empty() && !tokenizer->chat_template(chosen) && fs::is_regular_file(chosen)) {
    return {std::move(tokenizer), ChatTemplate(read_text(chosen), chosen)};
  }
  return {std::move(tokenizer), model, chosen};
}

ChatTemplateInputs chat_inputs(const std::string& system, const ChatTemplateOptions& options) {
  ChatTemplateInputs inputs;
  if (!system.empty()) inputs.messages.push_back({{"role", "system"}, {"content", system}});
  inputs.tools = read_list(options.tools);
  inputs.documents = read_list(options.documents);
  if (!options.variables.empty()) {
    inputs.extra = parse_json(options.variables, "--chat-template-kwargs");
    if (!inputs.extra.is_object()) {
      throw UsageError(
          "--chat-template-kwargs is no JSON object, e.g. {\"enable_thinking\": false}");
    }
  }
  return inputs;
}

}  // namespace nibble::cli
