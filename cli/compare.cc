// SPDX-License-Identifier: Apache-2.0
//
// nibble compare MODEL A B ...: what forms of a model cost and give, in one table: size,
// perplexity, divergence from the first, answers to tasks, speed.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench_schemes.h"
#include "cli/commands.h"
#include "cli/compare_report.h"
#include "cli/eval_options.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

struct CompareOptions {
  std::vector<std::string> models;   // the first is the reference
  std::vector<std::string> schemes;  // of the first, quantized while loading
  std::string plot;
  bool html = false, no_speed = false;
  int64_t prompt = 0, generate = 0, repeats = 3;  // 0: as much as the model's context allows
  EvalOptions eval;
  CommonOptions common;
  LoadingOptions loading;
};

// One form of the model: where it is and how it is opened.
struct CompareSubject {
  std::string folder, scheme;  // scheme "": as the files are
  OpenOptions options;

  OpenedModel open() const { return open_model(folder, options); }
};

// The name of a folder, but for "." and the like.
std::string folder_name(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  const fs::path name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return name.empty() || name == "." || name == ".." ? folder : name.string();
}

// With the method of a folder whose codes several methods could have made.
std::string scheme_found(const Model& model) {
  const std::string scheme = scheme_of(model);
  const auto& config = model.config().quantization;
  if (!config.is_object() || !config.contains("quant_method")) return scheme;
  const std::string method = config["quant_method"];
  return method == "bitsandbytes" ? scheme : method + " " + scheme;
}

class Comparer {
 public:
  explicit Comparer(const CompareOptions& options)
      : options_(options), progress_(options.common.quiet) {}

  CompareReport run();

 private:
  void make_subjects();
  void measure_quality(const CompareSubject& subject, const OpenedModel& opened, CompareRow& row);
  void measure_speed();
  SpeedCase speed_case(const ModelConfig& config) const;

  const CompareOptions& options_;
  ProgressBar progress_;
  std::vector<CompareSubject> subjects_;
  std::vector<TaskFile> tasks_;
  OpenedModel reference_;
  CompareReport report_;
};

CompareReport Comparer::run() {
  for (const std::string& folder : options_.models) require_model_folder(folder);
  tasks_ = check_eval_files(options_.eval);
  make_subjects();
  const ModelConfig config = ModelConfig::load(options_.models[0]);
  if (!options_.schemes.empty() && names_quantization(options_.models[0], config.quantization)) {
    throw Error("the model is quantized already, so it has no other schemes")
        .file(options_.models[0])
        .hint("leave --schemes out, or give the model before it was quantized first");
  }
  if (!options_.no_speed) report_.speed_case = speed_case(config);
  if (!options_.eval.text.file.empty()) {
    PerplexityConvention convention = perplexity_convention(options_.eval.text, config);
    report_.text = fs::path(options_.eval.text.file).filename().string();
    report_.counted = std::move(convention.text);
    report_.convention = std::move(convention.json);
  }
  report_.num_fewshot = options_.eval.task.num_fewshot;
  reference_ = subjects_[0].open();
  report_.backend = reference_.backend->name();
  report_.threads = reference_.pool->threads();
  for (const CompareSubject& subject : subjects_) {
    const bool is_reference = &subject == &subjects_[0];
    const OpenedModel other = is_reference ? OpenedModel() : subject.open();
    const OpenedModel& opened = is_reference ? reference_ : other;
    tell_of(opened, options_.common);
    note(fmt::format("{} of {}: {}{}{}", report_.rows.size() + 1, subjects_.size(), subject.folder,
                     subject.scheme.empty() ? "" : " as ", subject.scheme),
         options_.common.quiet);
    try {
      measure_quality(subject, opened, report_.rows.emplace_back());
    } catch (Interrupted&) {
      throw;
    } catch (Error& error) {  // which of them has another vocabulary
      throw error.has_file() ? error : error.file(subject.folder);
    }
  }
  reference_ = {};
  if (report_.speed_case) measure_speed();
  return std::move(report_);
}

void Comparer::make_subjects() {
  const std::shared_ptr<ThreadPool> pool = make_pool(options_.common);
  const auto add = [&](const std::string& folder, const std::string& scheme,
                       const LoadingOptions& loading) {
    subjects_.push_back({folder, scheme, open_options(loading, options_.common, &progress_)});
    subjects_.back().options.pool = pool;
  };
  // What others are compared with is as its files say; caches are no part of a model.
  LoadingOptions as_files;
  as_files.cache_packed = options_.loading.cache_packed;
  as_files.kv_cache_dtype = options_.loading.kv_cache_dtype;
  add(options_.models[0], "", as_files);
  for (const std::string& scheme : options_.schemes) {
    add(options_.models[0], scheme, with_scheme(options_.loading, scheme));
  }
  for (size_t i = 1; i < options_.models.size(); ++i) {
    add(options_.models[i], "", options_.loading);
  }
}

void Comparer::measure_quality(const CompareSubject& subject, const OpenedModel& opened,
                               CompareRow& row) {
  row.model = subject.folder;
  row.scheme = subject.scheme.empty() ? scheme_found(*opened.model) : subject.scheme;
  const bool same_folder = &opened != &reference_ && subject.folder == options_.models[0];
  row.label = same_folder ? row.scheme : folder_name(subject.folder);
  row.bytes = opened.weight_bytes;
  for (const ModuleInfo& module : opened.modules) {
    if (!module.tied_to.empty()) continue;
    row.parameters += module.kind == ModuleInfo::Kind::kParameter
                          ? module.rows
                          : module.rows * module.cols + (module.bias ? module.rows : 0);
  }
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(subject.folder);
  if (!report_.text.empty()) {
    const PassOptions passes = pass_options(options_.eval, &progress_);
    const std::string& text = options_.eval.text.file;
    if (&opened == &reference_) {
      row.perplexity =
          perplexity_of_file(*opened.model, *tokenizer, *opened.backend, text, passes).perplexity;
    } else {
      row.divergence =
          divergence_of_file({*opened.model, *opened.backend},
                             {*reference_.model, *reference_.backend}, *tokenizer, text, passes);
      row.perplexity = row.divergence->perplexity;
    }
  }
  row.tasks = run_tasks(tasks_, options_.eval, opened, *tokenizer, &progress_);
}

// Half of the context at most, so that a small model has place for both.
SpeedCase Comparer::speed_case(const ModelConfig& config) const {
  const int64_t context = config.max_position_embeddings;
  SpeedCase result;
  result.prompt = options_.prompt ? options_.prompt : std::min<int64_t>(512, context / 2);
  result.generate = options_.generate ? options_.generate : std::min<int64_t>(64, context / 4);
  check_speed_case(result, config);
  return result;
}

// All models are open, and take turns, so that a machine which is now slow is slow for all.
void Comparer::measure_speed() {
  std::vector<OpenedModel> opened;
  std::vector<std::unique_ptr<SpeedRunner>> runners;
  std::vector<std::function<SpeedTimes()>> turns;
  for (const CompareSubject& subject : subjects_) {
    opened.push_back(subject.open());
    SpeedOptions options;
    options.prefill_chunk = kPrefillChunk;
    options.before_pass = throw_if_interrupted;
    runners.push_back(std::make_unique<SpeedRunner>(*opened.back().model, *opened.back().backend,
                                                    std::move(options)));
    runners.back()->run(*report_.speed_case);  // maps and warms up
    turns.push_back([&runner = *runners.back(), this] { return runner.run(*report_.speed_case); });
  }
  SpeedSampling sampling;
  sampling.repeats = options_.repeats;
  sampling.probe = [&backend = *opened[0].backend] { return backend.measure_limits(); };
  sampling.progress = &progress_;
  const SpeedSamples samples = sample_in_turn(turns, sampling);
  for (size_t i = 0; i < opened.size(); ++i) {
    report_.rows[i].speed = speed_figures(*report_.speed_case, linear_costs(*opened[i].model),
                                          samples.of[i], options_.repeats);
  }
}

void compare(const CompareOptions& options) {
  const bool quality = !options.eval.text.file.empty() || !options.eval.task.files.empty() ||
                       !options.eval.task.names.empty();
  if (!options.plot.empty() && !quality) {
    throw UsageError("--plot: there is no quality to plot; give --perplexity, --task or --tasks");
  }
  require_folder_for(options.plot);
  const CompareReport report = Comparer(options).run();
  if (const auto svg = compare_svg(report); svg && !options.plot.empty()) {
    write_file_atomically(options.plot, *svg);
  }
  if (options.common.json) return print_json(compare_json(report));
  print(options.html ? compare_html(report) : compare_markdown(report));
}

constexpr const char* kCompareExamples =
    "\nSpeed is measured with all models in memory at once, in turns; `nibble bench` tells "
    "more.\n\n"
    "Examples:\n"
    "  nibble compare model model-nf4 model-gptq --perplexity wiki.test.raw --context 2048\n"
    "  nibble compare model --schemes int8,nf4,nf4-dq --perplexity stories.json --plot plot.svg\n"
    "  nibble compare model model-nf4 --tasks arc_easy,piqa --task-data folder --html > page.html\n"
    "  nibble compare model model-nf4 --no-speed --json\n";

}  // namespace

void add_compare_command(CLI::App& app) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command =
      app.add_subcommand("compare", "Compare forms of a model: size, quality and speed");
  command->footer(
      "\nThe first MODEL is what others are compared with. --schemes adds forms of it, "
      "quantized while it is\nloaded: int8 is llm.int8 with float activations, -dq is "
      "double quantization, -a8 has int8\nactivations. Loading options hold for all but the "
      "first.\n\n" +
      eval_options_help() + kCompareExamples);
  command->add_option("models", options->models, "Model folders")->required();
  add_eval_options(*command, options->eval);
  command->add_option("--plot", options->plot, "Write a plot of quality against size (SVG)");
  CLI::Option* html =
      command->add_flag("--html", options->html, "Print a page with table and plot instead");
  CLI::Option* no_speed = command->add_flag("--no-speed", options->no_speed, "Measure no speed");
  const auto speed_option = [&](const char* name, int64_t& value, const char* description) {
    command->add_option(name, value, description)->check(CLI::PositiveNumber)->excludes(no_speed);
  };
  speed_option("--prompt", options->prompt,
               "Tokens of a prompt (default: 512, or half of the context)");
  speed_option("--generate", options->generate,
               "New tokens (default: 64, or a quarter of the context)");
  speed_option("--repeats", options->repeats,
               "Rounds, each with one sample per model (default: 3)");
  add_loading_options(*command, options->loading);
  add_kv_cache_option(*command, options->loading);
  add_packed_cache_option(*command, options->loading);
  add_scheme_option(*command, options->schemes, "Forms of the first model");
  add_common_options(*command, options->common);
  html->excludes(command->get_option("--json"));
  command->callback([options] { compare(*options); });
}

}  // namespace nibble::cli
