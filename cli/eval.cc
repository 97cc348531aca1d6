// SPDX-License-Identifier: Apache-2.0
//
// nibble eval MODEL: how well a model predicts a text, how far it is from another, and how it does
// on tasks of questions.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/eval_options.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/task_report.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

struct EvalCommand {
  std::string model, reference, samples;
  EvalOptions eval;
  CommonOptions common;
  LoadingOptions loading;
};

// What one part of the command found, in both forms.
struct EvalPart {
  nlohmann::ordered_json json;  // members of the document
  std::string text, note;
};

// The reference is opened as its files say, whatever options the model has.
EvalPart divergence(const EvalCommand& command, const OpenedModel& opened,
                    const Tokenizer& tokenizer, ProgressBar& progress) {
  LoadingOptions as_files;
  as_files.cache_packed = command.loading.cache_packed;
  const OpenedModel reference = open_for(command.reference, as_files, command.common, &progress);
  const DivergenceResult result =
      divergence_of_file({*opened.model, *opened.backend}, {*reference.model, *reference.backend},
                         tokenizer, command.eval.text.file, pass_options(command.eval, &progress));
  EvalPart part;
  part.json = {{"kl", result.mean_kl},
               {"kl_standard_error", result.kl_standard_error},
               {"kl_median", result.median_kl},
               {"kl_99", result.percentile_99_kl},
               {"kl_max", result.max_kl},
               {"same_top", result.same_top},
               {"perplexity", result.perplexity},
               {"reference_perplexity", result.reference_perplexity},
               {"tokens", result.tokens},
               {"tokens_per_second", result.tokens_per_second},
               {"reference_tokens_per_second", result.reference_tokens_per_second}};
  part.text = fmt::format(
      "KL divergence  {:.5f} +/- {:.5f} nats a token (median {:.5f}, 99 % {:.5f}, largest {:.5f})\n"
      "same top token {:.2f} %\n"
      "perplexity     {:.4f}, reference {:.4f}: {:.4f} times\n"
      "tokens/s       {:.1f}, reference {:.1f}: {:.2f} times\n",
      result.mean_kl, result.kl_standard_error, result.median_kl, result.percentile_99_kl,
      result.max_kl, 100 * result.same_top, result.perplexity, result.reference_perplexity,
      result.perplexity / result.reference_perplexity, result.tokens_per_second,
      result.reference_tokens_per_second,
      result.tokens_per_second / result.reference_tokens_per_second);
  part.note = fmt::format("{} tokens", format_count(result.tokens));
  return part;
}

EvalPart perplexity(const EvalCommand& command, const OpenedModel& opened,
                    const Tokenizer& tokenizer, ProgressBar& progress) {
  const PerplexityResult result =
      perplexity_of_file(*opened.model, tokenizer, *opened.backend, command.eval.text.file,
                         pass_options(command.eval, &progress));
  EvalPart part;
  part.json = {{"perplexity", result.perplexity},
               {"standard_error", result.standard_error},
               {"nll", result.nll},
               {"tokens", result.tokens},
               {"passes", result.passes},
               {"seconds", result.seconds},
               {"tokens_per_second", result.tokens_per_second}};
  part.text = fmt::format("perplexity {:.4f} +/- {:.4f} over {} tokens\n", result.perplexity,
                          result.standard_error, format_count(result.tokens));
  part.note = fmt::format("{} at {:.1f} tokens/s", format_seconds(result.seconds),
                          result.tokens_per_second);
  return part;
}

EvalPart text_part(const EvalCommand& command, const OpenedModel& opened,
                   const Tokenizer& tokenizer, ProgressBar& progress) {
  EvalPart part = command.reference.empty() ? perplexity(command, opened, tokenizer, progress)
                                            : divergence(command, opened, tokenizer, progress);
  const PerplexityConvention convention =
      perplexity_convention(command.eval.text, opened.model->config());
  part.json.update(convention.json);
  part.text +=
      fmt::format("{:<{}}{}\n", "counted", command.reference.empty() ? 11 : 15, convention.text);
  return part;
}

EvalPart task_part(const EvalCommand& command, const std::vector<TaskFile>& files,
                   const OpenedModel& opened, const Tokenizer& tokenizer, ProgressBar& progress) {
  const std::vector<TaskResult> results =
      run_tasks(files, command.eval, opened, tokenizer, &progress);
  if (!command.samples.empty()) write_file_atomically(command.samples, samples_text(results));
  double seconds = 0;
  for (const TaskResult& result : results) seconds += result.seconds;
  EvalPart part;
  part.json["tasks"] = tasks_json(results);
  part.text = tasks_table(results);
  part.note = format_seconds(seconds);
  return part;
}

void eval(const EvalCommand& command) {
  if (command.eval.text.file.empty() && command.eval.task.files.empty() &&
      command.eval.task.names.empty()) {
    throw UsageError("nothing to evaluate: give --perplexity FILE, --task FILE or --tasks NAMES");
  }
  const std::vector<TaskFile> files = check_eval_files(command.eval);
  require_folder_for(command.samples);
  ProgressBar progress(command.common.quiet);
  const OpenedModel opened = open_for(command.model, command.loading, command.common, &progress);
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(command.model);
  std::vector<EvalPart> parts;
  if (!command.eval.text.file.empty()) {
    parts.push_back(text_part(command, opened, *tokenizer, progress));
  }
  if (!files.empty()) parts.push_back(task_part(command, files, opened, *tokenizer, progress));

  nlohmann::ordered_json document;
  for (const EvalPart& part : parts) document.update(part.json);
  if (command.common.json) return print_json(document);
  for (const EvalPart& part : parts) {
    print(part.text);
    note(part.note, command.common.quiet);
  }
}

constexpr const char* kEvalExamples =
    "\nExamples:\n"
    "  nibble eval model --perplexity wiki.test.raw --context 2048 --stride 1024\n"
    "  nibble eval model-nf4 --perplexity stories.json --limit 100 --json\n"
    "  nibble eval model-nf4 --perplexity stories.json --kl model           what NF4 costs\n"
    "  nibble eval model-nf4 --perplexity stories.json --activation int8 --kl model-nf4\n"
    "  nibble eval model --tasks arc_easy,hellaswag --task-data folder --limit 500\n"
    "  nibble eval model --task mmlu=test.jsonl --log-samples answers.jsonl\n";

}  // namespace

void add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalCommand>();
  CLI::App* command =
      app.add_subcommand("eval", "Measure a model's perplexity on a text, or its answers");
  command->footer("\n" + eval_options_help() + kEvalExamples);
  command->add_option("model", options->model, "Model folder")->required();
  add_eval_options(*command, options->eval);
  command
      ->add_option("--kl", options->reference,
                   "Compare with this model folder, token by token: KL divergence, top tokens, "
                   "perplexity, speed")
      ->needs(command->get_option("--perplexity"));
  command->add_option("--log-samples", options->samples,
                      "Write what each question of the tasks got to this file, as JSON lines");
  add_loading_options(*command, options->loading);
  add_kv_cache_option(*command, options->loading);
  add_packed_cache_option(*command, options->loading);
  add_common_options(*command, options->common);
  command->callback([options] { eval(*options); });
}

}  // namespace nibble::cli
