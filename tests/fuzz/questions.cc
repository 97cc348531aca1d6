// SPDX-License-Identifier: Apache-2.0
//
// A .jsonl file of questions, as every task reads it.
#include <algorithm>

#include "nibble/base/error.h"
#include "nibble/eval/tasks/task.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {
namespace {

bool can_be_asked(const Question& question) {
  return std::ranges::any_of(question.choices, &Choice::right);
}

}  // namespace

const MemoryBound kMemory{.fixed = 1 << 20, .per_byte = 512};

void read(Input input) {
  write_scratch("questions.jsonl", text_of(input));
  for (const Task& task : all_tasks()) {
    try {
      const auto questions = read_questions(task, scratch_folder() / "questions.jsonl", 0);
      for (const auto& [question, where] : questions) {
        require(can_be_asked(question), "a question has a right answer");
        require(!where.empty(), "a question has a place");
        question_prefix(question, questions, 1);
      }
    } catch (const Error& error) {
      require(error.has_file() || std::string_view(error.what()).starts_with("there are too few"),
              "an error names the file");
    }
  }
}

}  // namespace nibble::fuzz
