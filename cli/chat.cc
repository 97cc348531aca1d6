// SPDX-License-Identifier: Apache-2.0
//
// nibble chat MODEL: a conversation through the model's chat template, typed or from a pipe.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/chat_options.h"
#include "cli/commands.h"
#include "cli/generation_options.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kDefaultNewTokensOfChat = 1024;
// What was said so far stays in the cache, so that a turn reads only what is new.
constexpr int64_t kKeptSequences = 1;

struct ChatOptions {
  std::string model, system;
  ChatTemplateOptions chat_template;
  CommonOptions common;
  LoadingOptions loading;
  GenerationOptions generation;
};

class Conversation {
 public:
  Conversation(const ChatOptions& options, bool typed)
      : options_(options),
        typed_(typed),
        tokenizer_(Tokenizer::load(options.model)),
        prompt_(chat_prompt(tokenizer_, options.model, options.chat_template)),
        inputs_(chat_inputs(options.system, options.chat_template)),
        config_(generation_config(options.model, options.generation, kDefaultNewTokensOfChat)),
        progress_(options.common.quiet),
        opened_(open_for(options.model, options.loading, options.common, &progress_)),
        generator_(*opened_.model, tokenizer_, *opened_.backend, kKeptSequences) {
    reset();
  }

  void reset() { messages_ = inputs_.messages; }

  // Streams the answer to stdout, unless the result is a JSON document at the end.
  void answer(const std::string& question) {
    Json asked = messages_;
    asked.push_back({{"role", "user"}, {"content", question}});
    ChatTemplateInputs inputs = inputs_;
    inputs.messages = asked;
    const std::vector<int32_t> prompt = prompt_.encode(std::move(inputs));

    std::string said;
    TextGeneratorOptions generator_options;
    generator_options.progress = &progress_;
    generator_options.on_text = [&](int64_t, std::string_view text) {
      throw_if_interrupted();
      said += text;
      if (!options_.common.json && !text.empty()) print(text);
    };
    try {
      TextResult result = generator_.generate({prompt}, config_, generator_options);
      timings_ = result.timings;
      new_tokens_ = static_cast<int64_t>(result.sequences[0].ids.size());
      all_timings_.push_back(timings_json(result.timings));
      if (result.sequences[0].finish == FinishReason::kContextFull) {
        warn("stopped early: the model's context is full");
      }
    } catch (const Interrupted&) {
      if (!typed_) throw;
      clear_interrupt();  // at the terminal Ctrl-C ends the answer, not the conversation
      timings_.reset();
      all_timings_.push_back(nullptr);
    }
    if (!options_.common.json) print("\n");
    asked.push_back({{"role", "assistant"}, {"content", said}});
    messages_ = std::move(asked);
    if (timings_) note(timings_line(*timings_, new_tokens_), options_.common.quiet || !typed_);
  }

  const Json& messages() const { return messages_; }
  const Json& timings() const { return all_timings_; }  // of each answer

 private:
  const ChatOptions& options_;
  const bool typed_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatPrompt prompt_;
  ChatTemplateInputs inputs_;  // with the messages that a conversation begins with
  GenerationConfig config_;
  ProgressBar progress_;
  OpenedModel opened_;
  TextGenerator generator_;
  Json messages_, all_timings_ = Json::array();
  std::optional<GenerationTimings> timings_;
  int64_t new_tokens_ = 0;
};

// One line of input; absent at the end. Throws Interrupted on Ctrl-C.
std::optional<std::string> read_line(bool typed) {
  if (typed) {
    fmt::print(stderr, "> ");
    std::fflush(stderr);
  }
  std::string line;
  const bool got = static_cast<bool>(std::getline(std::cin, line));
  throw_if_interrupted();
  if (!got && line.empty()) return std::nullopt;
  return line;
}

void chat(const ChatOptions& options) {
  require_model_folder(options.model);
  const bool typed = isatty(STDIN_FILENO) == 1;
  Conversation conversation(options, typed);
  if (typed) {
    note("Type a message; /reset begins anew, /exit or Ctrl-D ends, Ctrl-C stops an answer.",
         options.common.quiet);
  }
  while (const std::optional<std::string> line = read_line(typed)) {
    if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
    if (typed && *line == "/exit") break;
    if (typed && *line == "/reset") {
      conversation.reset();
      continue;
    }
    try {
      conversation.answer(*line);
    } catch (const Interrupted&) {
      throw;
    } catch (const Error& error) {
      if (!typed) throw;
      fmt::print(stderr, "nibble: {}\n", error.what());  // the conversation goes on
    }
  }
  if (options.common.json) {
    print_json({{"messages", conversation.messages()}, {"timings", conversation.timings()}});
  }
}

}  // namespace

void add_chat_command(CLI::App& app) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model through its chat template");
  command->footer(
      "\nOn a terminal: a conversation with history. From a pipe: each line is the next message.\n"
      "With --json: all messages, and the timings of each answer, as one document at the end.\n\n"
      "Examples:\n"
      "  nibble chat model --system \"Answer in one sentence.\"\n"
      "  printf 'Hello!\\nWhat did I just say?\\n' | nibble chat model --temperature 0\n");
  command->add_option("model", options->model, "Model folder")->required();
  command->add_option("--system", options->system, "System message");
  add_chat_template_options(*command, options->chat_template);
  add_generation_options(*command, options->generation);
  add_loading_options(*command, options->loading);
  add_kv_cache_option(*command, options->loading);
  add_packed_cache_option(*command, options->loading);
  add_common_options(*command, options->common);
  command->callback([options] { chat(*options); });
}

}  // namespace nibble::cli
