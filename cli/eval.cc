// SPDX-License-Identifier: Apache-2.0
//
// nibble eval MODEL --perplexity FILE [--kl REFERENCE]: how well a model predicts a text, and how
// far it is from another.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

struct EvalOptions {
  std::string model, perplexity, reference;
  int64_t context = 0, stride = 0, limit = 0;
  CommonOptions common;
  LoadingOptions loading;
};

nlohmann::ordered_json to_json(const DivergenceResult& result) {
  return {{"kl", result.mean_kl},
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
}

// The reference is opened as its files say, whatever options the model has.
void compare(const EvalOptions& options, const OpenedModel& opened, const Tokenizer& tokenizer,
             const PassOptions& passes, ProgressBar& progress) {
  const OpenedModel reference = open_for(options.reference, {}, options.common, &progress);
  const DivergenceResult result =
      divergence_of_file({*opened.model, *opened.backend}, {*reference.model, *reference.backend},
                         tokenizer, options.perplexity, passes);
  if (options.common.json) return print_json(to_json(result));
  print(fmt::format(
      "KL divergence  {:.5f} +/- {:.5f} nats a token (median {:.5f}, 99 % {:.5f}, largest {:.5f})\n"
      "same top token {:.2f} %\n"
      "perplexity     {:.4f}, reference {:.4f}: {:.4f} times\n"
      "tokens/s       {:.1f}, reference {:.1f}: {:.2f} times\n",
      result.mean_kl, result.kl_standard_error, result.median_kl, result.percentile_99_kl,
      result.max_kl, 100 * result.same_top, result.perplexity, result.reference_perplexity,
      result.perplexity / result.reference_perplexity, result.tokens_per_second,
      result.reference_tokens_per_second,
      result.tokens_per_second / result.reference_tokens_per_second));
  note(fmt::format("{} tokens", format_count(result.tokens)), options.common.quiet);
}

void eval(const EvalOptions& options) {
  if (!std::filesystem::exists(options.perplexity)) {
    throw Error("no such text file").file(options.perplexity);
  }
  ProgressBar progress(options.common.quiet);
  const OpenedModel opened = open_for(options.model, options.loading, options.common, &progress);
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(options.model);
  PerplexityOptions perplexity;
  perplexity.context = options.context;
  perplexity.stride = options.stride;
  perplexity.limit = options.limit;
  perplexity.progress = &progress;
  if (!options.reference.empty()) {
    return compare(options, opened, *tokenizer, perplexity, progress);
  }
  const PerplexityResult result = perplexity_of_file(*opened.model, *tokenizer, *opened.backend,
                                                     options.perplexity, perplexity);
  if (options.common.json) {
    print_json({{"perplexity", result.perplexity},
                {"standard_error", result.standard_error},
                {"nll", result.nll},
                {"tokens", result.tokens},
                {"passes", result.passes},
                {"seconds", result.seconds},
                {"tokens_per_second", result.tokens_per_second}});
    return;
  }
  print(fmt::format("perplexity {:.4f} +/- {:.4f} over {} tokens\n", result.perplexity,
                    result.standard_error, format_count(result.tokens)));
  note(fmt::format("{} at {:.1f} tokens/s", format_seconds(result.seconds),
                   result.tokens_per_second),
       options.common.quiet);
}

}  // namespace

void add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Measure a model's perplexity on a text");
  command->footer(
      "\nA .json list or a .jsonl file is scored text by text, each cut at --context tokens; any "
      "other\n"
      "file is one text, walked in windows of --context tokens: --stride smaller than that gives "
      "each\n"
      "token more to look back on and takes longer.\n\n"
      "Examples:\n"
      "  nibble eval model --perplexity wiki.test.raw --context 2048 --stride 1024\n"
      "  nibble eval model-nf4 --perplexity stories.json --limit 100 --json\n"
      "  nibble eval model-nf4 --perplexity stories.json --kl model           what NF4 costs\n"
      "  nibble eval model-nf4 --perplexity stories.json --activation int8 --kl model-nf4\n");
  command->add_option("model", options->model, "Model folder")->required();
  command->add_option("--perplexity", options->perplexity, "File of text")->required();
  command->add_option("--kl", options->reference,
                      "Compare with this model folder, token by token: KL divergence, top tokens, "
                      "perplexity, speed");
  command
      ->add_option("--context", options->context,
                   "Tokens per window or text (default: the model's context)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--stride", options->stride,
                   "Tokens from window to window (default: the context)")
      ->check(CLI::PositiveNumber);
  command->add_option("--limit", options->limit, "Only the first N texts of a list")
      ->check(CLI::PositiveNumber);
  add_loading_options(*command, options->loading);
  add_kv_cache_option(*command, options->loading);
  add_common_options(*command, options->common);
  command->callback([options] { eval(*options); });
}

}  // namespace nibble::cli
