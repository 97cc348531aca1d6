// SPDX-License-Identifier: Apache-2.0
//
// A model's score on a task of questions (eval/tasks/task.h) from a file of the user's. Prompts,
// scores and names of metrics are those of lm-evaluation-harness 0.4, so that figures compare.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/eval/continuations.h"
#include "nibble/models/model.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

struct TaskOptions {
  int64_t limit = 0;     // the first questions that count; 0: all
  std::string preamble;  // stands before every prompt, with an empty line between
  // Answered questions before each one: the first of this file, of the same subject.
  int64_t num_fewshot = 0;
  std::filesystem::path fewshot_file;  // as `file`; read where num_fewshot is not 0
  Progress* progress = nullptr;
};

struct TaskMetric {
  std::string name;  // acc, acc_norm, perplexity
  double value = 0;
  double standard_error = 0;  // over the questions; 0 where there is but one
};

struct TaskSubject {
  std::string name;
  int64_t questions = 0;
  std::vector<TaskMetric> metrics;
};

struct TaskSample {
  std::string where;                      // of the question: "FILE:LINE"
  std::vector<ContinuationScore> scores;  // of each choice
  std::vector<double> counts;             // for each metric; for perplexity the log-likelihood
};

struct TaskResult {
  std::string task;
  std::vector<TaskMetric> metrics;
  std::vector<TaskSubject> subjects;  // in the order of the file; none for tasks without
  std::vector<TaskSample> samples;    // one a question
  double seconds = 0;
};

std::vector<std::string> task_names();

// Reads the file as run_task() will, so that what is broken fails before a model is loaded.
void check_task(std::string_view task, const std::filesystem::path& file, int64_t limit = 0);

// Throws Error for an unknown task, and with file and line for a question that is none.
TaskResult run_task(std::string_view task, const std::filesystem::path& file, const Model& model,
                    const Tokenizer& tokenizer, Backend& backend, const TaskOptions& options = {});

}  // namespace nibble
