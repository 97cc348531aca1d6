// SPDX-License-Identifier: Apache-2.0
//
// nibble run MODEL -p TEXT: generate text after one prompt or several.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
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

constexpr int64_t kDefaultNewTokensOfRun = 256;

struct RunOptions {
  std::string model;
  std::vector<std::string> prompts;
  bool chat = false;
  std::string system;
  ChatTemplateOptions chat_template;
  CommonOptions common;
  LoadingOptions loading;
  GenerationOptions generation;
};

std::vector<std::vector<int32_t>> encode_prompts(const std::shared_ptr<const Tokenizer>& tokenizer,
                                                 const RunOptions& options) {
  std::vector<std::vector<int32_t>> prompts;
  if (!options.chat) {
    for (const std::string& prompt : options.prompts) prompts.push_back(tokenizer->encode(prompt));
    return prompts;
  }
  const ChatPrompt chat = chat_prompt(tokenizer, options.model, options.chat_template);
  const ChatTemplateInputs start = chat_inputs(options.system, options.chat_template);
  for (const std::string& prompt : options.prompts) {
    ChatTemplateInputs inputs = start;
    inputs.messages.push_back({{"role", "user"}, {"content", prompt}});
    prompts.push_back(chat.encode(std::move(inputs)));
  }
  return prompts;
}

Json sequence_json(const std::string& prompt, const GeneratedText& sequence) {
  return {{"prompt", prompt},
          {"prompt_ids", sequence.prompt_ids},
          {"ids", sequence.ids},
          {"text", sequence.text},
          {"finish_reason", finish_reason_name(sequence.finish)}};
}

void print_result(const RunOptions& options, const TextResult& result) {
  if (options.common.json) {
    Json document;
    if (result.sequences.size() == 1) {
      document = sequence_json(options.prompts[0], result.sequences[0]);
    } else {
      for (size_t i = 0; i < result.sequences.size(); ++i) {
        document["results"].push_back(sequence_json(options.prompts[i], result.sequences[i]));
      }
    }
    document["timings"] = timings_json(result.timings);
    print_json(document);
    return;
  }
  if (result.sequences.size() == 1) {  // streamed already
    print("\n");
    return;
  }
  for (size_t i = 0; i < result.sequences.size(); ++i) {
    print(fmt::format("{}==> {} <==\n{}\n", i > 0 ? "\n" : "", options.prompts[i],
                      result.sequences[i].text));
  }
}

void run(const RunOptions& options) {
  if (!options.system.empty() && !options.chat) {
    throw UsageError("--system needs --chat: only a chat template has a system message");
  }
  if (options.chat_template.any() && !options.chat) {
    throw UsageError(
        "--chat-template, --tools, --documents and --chat-template-kwargs need --chat");
  }
  ProgressBar progress(options.common.quiet);
  const OpenedModel opened = open_for(options.model, options.loading, options.common, &progress);
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(options.model);
  const GenerationConfig config =
      generation_config(options.model, options.generation, kDefaultNewTokensOfRun);
  const std::vector<std::vector<int32_t>> prompts = encode_prompts(tokenizer, options);

  const bool stream = prompts.size() == 1 && !options.common.json;
  TextGeneratorOptions generator_options;
  generator_options.progress = &progress;
  generator_options.on_text = [&](int64_t, std::string_view text) {
    throw_if_interrupted();
    if (stream && !text.empty()) print(text);
  };
  TextGenerator generator(*opened.model, tokenizer, *opened.backend);
  const TextResult result = generator.generate(prompts, config, generator_options);
  print_result(options, result);

  int64_t new_tokens = 0;
  bool context_full = false;
  for (const GeneratedText& sequence : result.sequences) {
    new_tokens += static_cast<int64_t>(sequence.ids.size());
    context_full = context_full || sequence.finish == FinishReason::kContextFull;
  }
  if (context_full) {
    warn(fmt::format("stopped early: the model's context of {} tokens is full",
                     opened.model->config().max_position_embeddings));
  }
  note(timings_line(result.timings, new_tokens), options.common.quiet);
}

}  // namespace

void add_run_command(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Generate text after a prompt");
  command->footer(
      "\nText streams to stdout, timings go to stderr. Several -p run as one batch; each gets "
      "what\n"
      "it would get alone. With --json: prompt, prompt_ids, ids, text, finish_reason and timings, "
      "for\n"
      "several prompts in a list \"results\".\n\n"
      "Examples:\n"
      "  nibble run model -p \"Once upon a time\" --max-new-tokens 100\n"
      "  nibble run model --chat -p \"Why is the sky blue?\" --temperature 0.7 --seed 1\n"
      "  nibble run model --load-in-4bit --bnb-4bit-quant-type nf4 -p \"Hello\" --json\n");
  command->add_option("model", options->model, "Model folder")->required();
  command->add_option("-p,--prompt", options->prompts, "The text to continue (repeatable)")
      ->required()
      ->allow_extra_args(false);  // one text per -p; what follows is the model
  command->add_flag("--chat", options->chat,
                    "Take the prompt as a user's message in the model's chat template");
  command->add_option("--system", options->system, "System message, with --chat");
  add_chat_template_options(*command, options->chat_template);
  add_generation_options(*command, options->generation);
  add_loading_options(*command, options->loading);
  add_kv_cache_option(*command, options->loading);
  add_packed_cache_option(*command, options->loading);
  add_common_options(*command, options->common);
  command->callback([options] { run(*options); });
}

}  // namespace nibble::cli
