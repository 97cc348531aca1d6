// SPDX-License-Identifier: Apache-2.0
//
// What `eval` and `compare` measure quality on: a text for perplexity, and tasks of questions.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

struct EvalTextOptions {
  std::string file;
  int64_t context = 0, stride = 0;
  bool second_half = false;
};

struct EvalTaskOptions {
  std::vector<std::string> files;  // FILE or NAME=FILE
  std::vector<std::string> names;  // of those to look for in `data`
  std::string data, preamble, examples;
  int64_t num_fewshot = 0;
};

struct EvalOptions {
  EvalTextOptions text;
  EvalTaskOptions task;
  int64_t limit = 0;
};

void add_eval_options(CLI::App& command, EvalOptions& options);

// Its part of a command's footer.
std::string eval_options_help();

PassOptions pass_options(const EvalOptions& options, Progress* progress);

// How the perplexity of such options is counted, for people and for programs.
struct PerplexityConvention {
  std::string text;  // "windows of 512 tokens"
  nlohmann::ordered_json json;
};
PerplexityConvention perplexity_convention(const EvalTextOptions& options,
                                           const ModelConfig& config);

struct TaskFile {
  std::string task;
  std::filesystem::path file;
  std::filesystem::path examples = {};  // empty: none
};

// The task files that the options name. All of them, the text and the preamble are there, and the
// questions can be read: otherwise throws Error, or UsageError when it is the options' fault.
std::vector<TaskFile> check_eval_files(const EvalOptions& options);

// Results in the order of the files.
std::vector<TaskResult> run_tasks(const std::vector<TaskFile>& files, const EvalOptions& options,
                                  const OpenedModel& opened, const Tokenizer& tokenizer,
                                  Progress* progress);

}  // namespace nibble::cli
