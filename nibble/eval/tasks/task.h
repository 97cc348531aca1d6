// SPDX-License-Identifier: Apache-2.0
//
// Tasks: how an entry of a data set becomes a question, and what is counted of the answers. Entries
// have the fields of the Hugging Face data sets; prompts are those of lm-evaluation-harness 0.4.
// Nothing here knows a model. A further task is one function and one line of the
// table in task.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/eval/tasks/question_fields.h"

namespace nibble {

// What a model may say behind a context.
struct Choice {
  std::string context;
  std::string continuation;  // with the space before it
  int64_t characters = 0;    // code points of the answer itself, by which acc_norm divides
  bool right = false;

  bool operator==(const Choice&) const = default;
};

struct Question {
  std::vector<Choice> choices;  // at least one is right
  std::string subject;          // of tasks that have several; else empty
  std::string description;      // stands before the examples and the question; may be empty

  bool operator==(const Question&) const = default;
};

enum class TaskScoring {
  kMostLikely,              // acc: the most likely choice is right
  kMostLikelyPerCharacter,  // acc, and acc_norm: the most likely one per character is right
  kRightShare,              // acc: the share of right choices in the probability of all
  kLastWord,                // of the one choice, acc: greedy decoding says it; and its perplexity
};

struct Task {
  std::string_view name;  // as lm-evaluation-harness calls it
  TaskScoring scoring;
  Question (*question)(const QuestionFields&);  // throws Error with file and line
};

std::span<const Task> all_tasks();
const Task& find_task(std::string_view name);  // throws Error that lists the names

// The first `limit` (0: all) questions of a .jsonl file or a .json list, and where each stands.
// Throws Error with file and line, also when there is none.
struct PlacedQuestion {
  Question question;
  std::string where;  // "FILE:LINE"
};
std::vector<PlacedQuestion> read_questions(const Task& task, const std::filesystem::path& file,
                                           int64_t limit);

// What stands before a question: its description, and the first `count` of `examples` that have its
// subject and are not itself, each with its first right answer and an empty line behind it. Throws
// Error when there are fewer.
std::string question_prefix(const Question& question, const std::vector<PlacedQuestion>& examples,
                            int64_t count);

}  // namespace nibble
