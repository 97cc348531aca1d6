// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/output.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

bool is_task(const std::string& name) {
  const std::vector<std::string> names = task_names();
  return std::ranges::find(names, name) != names.end();
}

// NAME=FILE, or a FILE whose own name begins with that of its task: arc_easy.test.jsonl.
TaskFile parse_task_file(const std::string& given) {
  const size_t equals = given.find('=');
  if (equals != std::string::npos && is_task(given.substr(0, equals))) {
    return {given.substr(0, equals), given.substr(equals + 1)};
  }
  const std::string name = fs::path(given).filename().string();
  const std::string task = name.substr(0, name.find('.'));
  if (is_task(task)) return {task, given};
  throw UsageError(
      fmt::format("--task: expected NAME=FILE, or a file named after its task, got '{}'; tasks are "
                  "{}",
                  given, fmt::join(task_names(), ", ")));
}

fs::path find_task_file(const fs::path& folder, const std::string& task) {
  for (const char* extension : {".jsonl", ".json", ".jsonl.zst", ".json.zst"}) {
    const fs::path file = folder / (task + extension);
    if (fs::exists(file)) return file;
  }
  throw Error("there is no file for this task")
      .file(folder)
      .expected(fmt::format("{}.jsonl or {}.json, plain or .zst", task, task));
}

// The file of a task that an option names: in a folder, or itself where it is for `tasks` 1.
fs::path file_of_task(const std::string& option, const std::string& path, const std::string& task,
                      size_t tasks) {
  if (fs::is_directory(path)) return find_task_file(path, task);
  if (tasks == 1) return path;
  throw UsageError(fmt::format("{}: expected a folder for several tasks, got '{}'", option, path));
}

std::vector<TaskFile> task_files(const EvalTaskOptions& options) {
  std::vector<TaskFile> files;
  for (const std::string& given : options.files) files.push_back(parse_task_file(given));
  for (const std::string& task : options.names) {
    files.push_back({task, file_of_task("--task-data", options.data, task, options.names.size())});
  }
  if (options.num_fewshot == 0) return files;
  for (TaskFile& file : files) {
    file.examples = file_of_task("--fewshot-data", options.examples, file.task, files.size());
  }
  return files;
}

std::string read_preamble(const std::string& file) {
  if (file.empty()) return "";
  std::string text = read_text_file(file);
  text.erase(text.find_last_not_of("\r\n") + 1);
  return text;
}

}  // namespace

void add_eval_options(CLI::App& command, EvalOptions& options) {
  EvalTextOptions& text = options.text;
  EvalTaskOptions& task = options.task;
  CLI::Option* perplexity =
      command.add_option("--perplexity", text.file, "File of text to measure perplexity on");
  command
      .add_option("--context", text.context,
                  "Tokens per window or text (default: the model's context)")
      ->check(CLI::PositiveNumber)
      ->needs(perplexity);
  CLI::Option* stride = command
                            .add_option("--stride", text.stride,
                                        "Tokens from window to window (default: the context)")
                            ->check(CLI::PositiveNumber)
                            ->needs(perplexity);
  command
      .add_flag("--second-half", text.second_half,
                "Count the second half of each window alone, as llama.cpp does")
      ->needs(perplexity)
      ->excludes(stride);
  command
      .add_option("--task", task.files, "Questions: NAME=FILE, or FILE where its name is the task")
      ->allow_extra_args(false);
  CLI::Option* names =
      command.add_option("--tasks", task.names, "Names of tasks, separated by commas")
          ->delimiter(',')
          ->allow_extra_args(false)
          ->check(CLI::IsMember(task_names()));
  CLI::Option* data =
      command.add_option("--task-data", task.data, "Folder with NAME.jsonl or NAME.json of each");
  names->needs(data);
  data->needs(names);
  command.add_option("--preamble", task.preamble, "File of text that stands before every prompt");
  CLI::Option* shots =
      command.add_option("--num-fewshot", task.num_fewshot, "Answered questions before each one")
          ->check(CLI::PositiveNumber);
  CLI::Option* examples = command.add_option(
      "--fewshot-data", task.examples, "Where they are, as --task-data: the first of the subject");
  shots->needs(examples);
  examples->needs(shots);
  command
      .add_option("--limit", options.limit,
                  "Only the first N texts of a list, and questions of a task")
      ->check(CLI::PositiveNumber);
}

std::string eval_options_help() {
  return "Perplexity: a .json list or a .jsonl file is scored text by text, each cut at --context "
         "tokens;\n"
         "any other file is one text, walked in windows of --context tokens, whose first token "
         "counts not.\n"
         "--stride smaller than that gives each token more to look back on and takes longer;\n"
         "--second-half is what llama.cpp's tool prints (there with windows of 512).\n\n"
         "Tasks: questions from files with the fields of the Hugging Face data sets, as JSON lines "
         "(.jsonl)\n"
         "or a JSON list (.json), each also compressed (.zst). Prompts and metrics are those of "
         "lm-evaluation-harness 0.4.\n";
}

PassOptions pass_options(const EvalOptions& options, Progress* progress) {
  PassOptions passes;
  passes.context = options.text.context;
  passes.stride = options.text.stride;
  passes.second_half = options.text.second_half;
  passes.limit = options.limit;
  passes.progress = progress;
  return passes;
}

PerplexityConvention perplexity_convention(const EvalTextOptions& options,
                                           const ModelConfig& config) {
  const int64_t context = options.context ? options.context : config.max_position_embeddings;
  const int64_t stride = options.stride ? options.stride : context;
  if (is_json_list(options.file)) {
    return {fmt::format("each text by itself, up to {} tokens", context),
            {{"convention", "texts"}, {"context", context}}};
  }
  if (options.second_half) {
    return {fmt::format("second half of windows of {} tokens, as llama.cpp counts", context),
            {{"convention", "second-half"}, {"context", context}}};
  }
  if (stride < context) {
    return {fmt::format("windows of {} tokens, stride {}", context, stride),
            {{"convention", "strided"}, {"context", context}, {"stride", stride}}};
  }
  return {fmt::format("windows of {} tokens", context),
          {{"convention", "windows"}, {"context", context}}};
}

std::vector<TaskFile> check_eval_files(const EvalOptions& options) {
  const std::vector<TaskFile> files = task_files(options.task);
  if (!options.text.file.empty() && !fs::exists(options.text.file)) {
    throw Error("no such text file").file(options.text.file);
  }
  read_preamble(options.task.preamble);
  for (const TaskFile& file : files) {
    check_task(file.task, file.file, options.limit);
    if (!file.examples.empty()) check_task(file.task, file.examples);
  }
  return files;
}

std::vector<TaskResult> run_tasks(const std::vector<TaskFile>& files, const EvalOptions& options,
                                  const OpenedModel& opened, const Tokenizer& tokenizer,
                                  Progress* progress) {
  TaskOptions task;
  task.limit = options.limit;
  task.preamble = read_preamble(options.task.preamble);
  task.progress = progress;
  task.num_fewshot = options.task.num_fewshot;
  std::vector<TaskResult> results;
  for (const TaskFile& file : files) {
    task.fewshot_file = file.examples;
    results.push_back(
        run_task(file.task, file.file, *opened.model, tokenizer, *opened.backend, task));
  }
  return results;
}

}  // namespace nibble::cli
