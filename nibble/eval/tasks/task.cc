// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/tasks/task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/eval/tasks/questions.h"
#include "nibble/io/json_list.h"

namespace nibble {
namespace {

constexpr Task kTasks[] = {
    {"arc_easy", TaskScoring::kMostLikelyPerCharacter, arc_question},
    {"arc_challenge", TaskScoring::kMostLikelyPerCharacter, arc_question},
    {"hellaswag", TaskScoring::kMostLikelyPerCharacter, hellaswag_question},
    {"lambada_openai", TaskScoring::kLastWord, lambada_question},
    {"lambada_standard", TaskScoring::kLastWord, lambada_question},
    {"mmlu", TaskScoring::kMostLikely, mmlu_question},
    {"openbookqa", TaskScoring::kMostLikelyPerCharacter, openbookqa_question},
    {"piqa", TaskScoring::kMostLikelyPerCharacter, piqa_question},
    {"truthfulqa_mc1", TaskScoring::kMostLikely, truthfulqa_mc1_question},
    {"truthfulqa_mc2", TaskScoring::kRightShare, truthfulqa_mc2_question},
    {"winogrande", TaskScoring::kMostLikely, winogrande_question},
};

}  // namespace

std::span<const Task> all_tasks() { return kTasks; }

const Task& find_task(std::string_view name) {
  const auto found = std::ranges::find(kTasks, name, &Task::name);
  if (found != std::end(kTasks)) return *found;
  std::vector<std::string_view> names;
  for (const Task& task : kTasks) names.push_back(task.name);
  throw Error("there is no such task")
      .expected(fmt::format("one of {}", fmt::join(names, ", ")))
      .got(std::string(name));
}

std::vector<PlacedQuestion> read_questions(const Task& task, const std::filesystem::path& file,
                                           int64_t limit) {
  if (!is_json_list(file)) {
    throw Error(fmt::format("not a file of {} questions", task.name))
        .file(file)
        .expected("JSON lines (.jsonl) or a JSON list (.json), plain or .zst");
  }
  std::vector<PlacedQuestion> questions;
  for_each_json_entry(file, limit, [&](const JsonEntry& entry) {
    questions.push_back(
        {task.question(QuestionFields(entry.value, entry.where)), entry.where.string()});
    return true;
  });
  if (questions.empty()) {
    throw Error("the file holds no questions")
        .file(file)
        .expected(fmt::format("one entry for each question of {}", task.name));
  }
  return questions;
}

std::string question_prefix(const Question& question, const std::vector<PlacedQuestion>& examples,
                            int64_t count) {
  std::string prefix = question.description;
  int64_t shown = 0;
  for (const PlacedQuestion& example : examples) {
    if (shown == count) break;
    const Question& other = example.question;
    if (other.subject != question.subject || other == question) continue;
    const Choice& answer = *std::ranges::find(other.choices, true, &Choice::right);
    prefix += answer.context + answer.continuation + "\n\n";
    ++shown;
  }
  if (shown == count) return prefix;
  const std::string of = question.subject.empty() ? "" : " of " + question.subject;
  throw Error("there are too few examples" + of)
      .expected(fmt::format("{} besides the question itself", count))
      .got(fmt::format("{}", shown));
}

}  // namespace nibble
