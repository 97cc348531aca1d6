// SPDX-License-Identifier: Apache-2.0
//
// nibble bench MODEL: how fast a model reads prompts and generates, and how near that is to what
// the machine can do. Each scheme is loaded twice: alone, to see its memory, and then beside the
// others, to be measured in turn with them.
#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench_report.h"
#include "cli/bench_schemes.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "nibble/nibble.h"

namespace nibble::cli {
namespace {

struct BenchOptions {
  std::string model, preset;
  std::vector<int64_t> prompt, generate, batch;  // empty: those of the preset
  std::vector<std::string> schemes;              // empty: what the loading options say
  int64_t warmup = 1, repeats = 5, patience = 5;
  bool no_use_cache = false, markdown = false;
  CommonOptions common;
  LoadingOptions loading;
};

struct BenchPreset {
  std::vector<int64_t> prompt, generate, batch;
  bool one_without_cache = false;  // the first of each list again without a key-value cache
};

BenchPreset bench_preset(const std::string& name) {
  if (name == "prefill") return {{512}, {0}, {1, 16}};
  if (name == "generation") return {{30}, {30, 512}, {1, 2, 4, 8, 16}, true};
  return {{512}, {128}, {1}};
}

std::vector<SpeedCase> bench_cases(const BenchOptions& options) {
  BenchPreset lists = bench_preset(options.preset);
  if (!options.prompt.empty()) lists.prompt = options.prompt;
  if (!options.generate.empty()) lists.generate = options.generate;
  if (!options.batch.empty()) lists.batch = options.batch;
  std::vector<SpeedCase> cases;
  for (const int64_t prompt : lists.prompt) {
    for (const int64_t generate : lists.generate) {
      for (const int64_t batch : lists.batch) {
        cases.push_back({batch, prompt, generate, !options.no_use_cache});
      }
    }
  }
  if (lists.one_without_cache && !options.no_use_cache) {
    cases.push_back({lists.batch[0], lists.prompt[0], lists.generate[0], /*use_cache=*/false});
  }
  return cases;
}

// One scheme: how to open it, and what is found out about it.
struct Contender {
  OpenOptions options;
  std::string scheme;  // "": what is found in the model
  OpenedModel opened;
  std::unique_ptr<SpeedRunner> runner;
  LinearCosts costs;
  int64_t model_bytes = 0;
  double first_load_seconds = 0, second_load_seconds = 0;
  std::vector<std::optional<int64_t>> peak_bytes;  // of each case

  double open(const std::string& folder);
  void close() {
    runner.reset();
    opened = {};
  }
};

// Returns the seconds until the first token: a weight that is mapped is read when it is used.
double Contender::open(const std::string& folder) {
  const auto start = std::chrono::steady_clock::now();
  opened = open_model(folder, options);
  SpeedOptions speed;
  speed.prefill_chunk = kPrefillChunk;
  speed.before_pass = throw_if_interrupted;
  runner = std::make_unique<SpeedRunner>(*opened.model, *opened.backend, std::move(speed));
  runner->touch_weights();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Bench {
 public:
  explicit Bench(const BenchOptions& options)
      : options_(options), cases_(bench_cases(options)), progress_(options.common.quiet) {}

  BenchReport run();

 private:
  void check_model() const;
  std::vector<Contender> make_contenders();
  void look_at(Contender& contender);
  std::optional<int64_t> warm_up(SpeedRunner& runner, const SpeedCase& speed_case);
  BenchReport measure(std::vector<Contender>& contenders);

  const BenchOptions& options_;
  const std::vector<SpeedCase> cases_;
  ProgressBar progress_;
};

BenchReport Bench::run() {
  std::vector<Contender> contenders = make_contenders();
  check_model();
  for (Contender& contender : contenders) look_at(contender);
  return measure(contenders);
}

// What can be known before anything is loaded.
void Bench::check_model() const {
  require_model_folder(options_.model);
  const ModelConfig config = ModelConfig::load(options_.model);
  for (const SpeedCase& speed_case : cases_) check_speed_case(speed_case, config);
  if (!options_.schemes.empty() && names_quantization(options_.model, config.quantization)) {
    throw Error("the model is quantized already, so there are no schemes to compare")
        .file(options_.model)
        .hint("leave --schemes out, or give the model before it was quantized");
  }
}

std::vector<Contender> Bench::make_contenders() {
  const std::shared_ptr<ThreadPool> pool = make_pool(options_.common);
  std::vector<Contender> contenders;
  const auto add = [&](const std::string& scheme, const LoadingOptions& loading) {
    Contender& contender = contenders.emplace_back();
    contender.scheme = scheme;
    contender.options = open_options(loading, options_.common, &progress_);
    contender.options.pool = pool;
  };
  for (const std::string& name : options_.schemes) add(name, with_scheme(options_.loading, name));
  if (contenders.empty()) add("", options_.loading);
  return contenders;
}

// With nothing else loaded, so that the memory is the scheme's own.
void Bench::look_at(Contender& contender) {
  return_freed_memory();  // of the scheme before
  contender.first_load_seconds = contender.open(options_.model);
  tell_of(contender.opened, options_.common);
  if (contender.scheme.empty()) contender.scheme = scheme_of(*contender.opened.model);
  contender.costs = linear_costs(*contender.opened.model);
  contender.model_bytes = contender.opened.weight_bytes;
  progress_.begin(fmt::format("warming up {}", contender.scheme),
                  static_cast<int64_t>(cases_.size()) * options_.warmup, Progress::Unit::kSteps);
  for (const SpeedCase& speed_case : cases_) {
    contender.peak_bytes.push_back(warm_up(*contender.runner, speed_case));
  }
  progress_.end();
  contender.close();
}

std::optional<int64_t> Bench::warm_up(SpeedRunner& runner, const SpeedCase& speed_case) {
  const bool known = reset_peak_resident_memory() && options_.warmup > 0;
  for (int64_t i = 0; i < options_.warmup; ++i) {
    runner.run(speed_case);
    progress_.advance(1, {});
  }
  return known ? resident_memory().peak_bytes : std::nullopt;
}

BenchReport Bench::measure(std::vector<Contender>& contenders) {
  BenchReport report;
  for (Contender& contender : contenders) {
    contender.second_load_seconds = contender.open(options_.model);
  }
  std::vector<std::function<SpeedTimes()>> subjects;
  for (const SpeedCase& speed_case : cases_) {
    for (const Contender& contender : contenders) {
      subjects.push_back([&speed_case, &contender] { return contender.runner->run(speed_case); });
    }
  }
  Backend& backend = *contenders[0].opened.backend;
  SpeedSampling sampling;
  sampling.repeats = report.repeats = options_.repeats;
  sampling.patience = report.patience = options_.patience;
  report.slow_below = sampling.slow_below;
  sampling.probe = [&] { return backend.measure_limits(); };
  sampling.progress = &progress_;
  const SpeedSamples samples = sample_in_turn(subjects, sampling);

  report.model = options_.model;
  report.backend = backend.name();
  report.threads = contenders[0].opened.pool->threads();
  report.warmup = options_.warmup;
  report.best = samples.best;
  auto own_samples = samples.of.begin();
  for (size_t i = 0; i < cases_.size(); ++i) {
    for (const Contender& contender : contenders) {
      BenchRow row;
      row.scheme = contender.scheme;
      row.speed_case = cases_[i];
      row.figures = speed_figures(cases_[i], contender.costs, *own_samples++, options_.repeats);
      row.peak_resident_bytes = contender.peak_bytes[i];
      row.first_load_seconds = contender.first_load_seconds;
      row.second_load_seconds = contender.second_load_seconds;
      row.model_bytes = contender.model_bytes;
      report.rows.push_back(std::move(row));
    }
  }
  return report;
}

void bench(const BenchOptions& options) {
  const BenchReport report = Bench(options).run();
  if (options.common.json) {
    print_json(bench_json(report));
  } else {
    print(bench_text(report, options.markdown));
  }
}

constexpr const char* kBenchFooter =
    "\nOne row per scheme and combination of --prompt, --generate and --batch. Prefill reads the "
    "prompts;\n"
    "decode then makes one token of each sequence per pass (the first of --generate comes from "
    "the\n"
    "prompt). Forward passes over random ids: no tokenizer, no sampler. Figures are medians.\n\n"
    "  of peak       multiply-adds of linear layers in prefill, as a share of the float32 peak\n"
    "  of bandwidth  weights read in decode, as a share of the memory's read bandwidth\n"
    "  MB/token      weights read per new token: a pass reads them once for the whole batch\n"
    "  both          new tokens over the time of prefill and decode together\n"
    "  peak MB       most memory of the process, mapped files included, with that model alone\n"
    "  load s        to the first token, twice: the second finds the file in the system's cache\n\n"
    "Peak and bandwidth are probed before and after each sample. A machine that others use too is "
    "now\n"
    "fast and now slow: schemes take turns in every round, and what was measured below 80 % of the "
    "best\n"
    "peak is tried again for up to --patience rounds, and left out when enough else remains.\n\n"
    "Presets, whose lists --prompt, --generate and --batch replace:\n"
    "  prefill       prompt 512, batch 1 and 16, nothing generated\n"
    "  generation    prompt 30, 30 and 512 new tokens, batch 1, 2, 4, 8 and 16; without key-value\n"
    "                cache only the first of each (30 new tokens, batch 1), as it takes long\n\n"
    "--schemes loads the model once more per scheme, and holds all at once in memory. int8 is "
    "llm.int8\n"
    "with float activations, -dq is double quantization, -a8 has int8 activations.\n\n"
    "Examples:\n"
    "  nibble bench model\n"
    "  nibble bench model --load-in-4bit --prompt 128,512 --generate 64 --batch 1,4\n"
    "  nibble bench model --schemes plain,int8,nf4 --preset generation --markdown\n"
    "  nibble bench model-nf4 --prompt 512 --generate 0 --json\n";

void add_list(CLI::App& command, const std::string& name, std::vector<int64_t>& list,
              const CLI::Validator& check, const std::string& description) {
  command.add_option(name, list, description)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(check);
}

}  // namespace

void add_bench_command(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "Measure a model's speed and memory");
  command->footer(kBenchFooter);
  command->add_option("model", options->model, "Model folder")->required();
  add_list(*command, "--prompt", options->prompt, CLI::PositiveNumber,
           "Tokens of a prompt, or several: 30,512 (default: 512)");
  add_list(*command, "--generate", options->generate, CLI::NonNegativeNumber,
           "New tokens of a sequence (default: 128); 0 measures prefill alone");
  add_list(*command, "--batch", options->batch, CLI::PositiveNumber,
           "Sequences at once (default: 1)");
  command->add_option("--preset", options->preset, "prefill or generation, see below")
      ->check(CLI::IsMember({"prefill", "generation"}));
  command->add_flag("--no-use-cache", options->no_use_cache,
                    "Generate without key-value cache: compute all again for each token");
  command
      ->add_option("--warmup", options->warmup, "Runs before measuring; 0: peak memory is unknown")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "Rounds, each with one sample per row")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--patience", options->patience, "Extra rounds for rows with slow samples")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  CLI::Option* markdown =
      command->add_flag("--markdown", options->markdown, "Print the table as Markdown");
  add_loading_options(*command, options->loading);
  add_packed_cache_option(*command, options->loading);
  add_scheme_option(*command, options->schemes, "Compare these");
  add_common_options(*command, options->common);
  markdown->excludes(command->get_option("--json"));
  command->callback([options] { bench(*options); });
}

}  // namespace nibble::cli
