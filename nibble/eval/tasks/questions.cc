// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/tasks/questions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "nibble/eval/tasks/hellaswag_text.h"
#include "nibble/text/jinja/text.h"

namespace nibble {
namespace {

Choice choice_of(std::string context, const std::string& answer, bool right) {
  return {std::move(context), " " + answer,
          static_cast<int64_t>(jinja::length_in_code_points(answer)), right};
}

Question one_context(const std::string& context, const std::vector<std::string>& answers,
                     size_t right) {
  Question question;
  for (size_t i = 0; i < answers.size(); ++i) {
    question.choices.push_back(choice_of(context, answers[i], i == right));
  }
  return question;
}

std::string stripped(const std::string& text) {
  return jinja::strip_left(jinja::strip_right(jinja::Text(text))).bytes();
}

// Answers with labels of their own: A to D, or 1 to 4, in any order.
Question labelled_question(const std::string& context, const QuestionFields& fields) {
  const QuestionFields choices = fields.object("choices");
  const std::vector<std::string> answers = choices.texts("text"), labels = choices.texts("label");
  const size_t right = fields.answer("answerKey", labels);
  if (labels.size() != answers.size()) {
    throw choices.error("label")
        .expected(fmt::format("{} labels", answers.size()))
        .got(fmt::format("{}", labels.size()));
  }
  return one_context(context, answers, right);
}

Question truthfulqa_question(const QuestionFields& fields, const std::string& targets) {
  const QuestionFields choices = fields.object(targets);
  const std::vector<std::string> answers = choices.texts("choices");
  const std::vector<bool> right = choices.flags("labels", answers.size());
  if (std::ranges::find(right, true) == right.end()) {
    throw choices.error("labels").expected("a right answer").got("none");
  }
  const std::string context = fmt::format("Q: {}\nA:", fields.text("question"));
  Question question;
  for (size_t i = 0; i < answers.size(); ++i) {
    question.choices.push_back(choice_of(context, answers[i], right[i]));
  }
  return question;
}

}  // namespace

Question arc_question(const QuestionFields& fields) {
  return labelled_question(fmt::format("Question: {}\nAnswer:", fields.text("question")), fields);
}

Question openbookqa_question(const QuestionFields& fields) {
  return labelled_question(fields.text("question_stem"), fields);
}

Question hellaswag_question(const QuestionFields& fields) {
  const std::string context =
      fmt::format("{}: {} {}", fields.text("activity_label"), fields.text("ctx_a"),
                  hellaswag_capitalized(fields.text("ctx_b")));
  std::vector<std::string> endings = fields.texts("endings");
  for (std::string& ending : endings) ending = hellaswag_text(ending);
  return one_context(hellaswag_text(context), endings, fields.answer("label", 0, endings.size()));
}

// The last word, as spaces part words.
Question lambada_question(const QuestionFields& fields) {
  const std::string text = fields.text("text");
  const size_t space = text.rfind(' ');
  const bool one_word = space == std::string::npos;
  return {{choice_of(one_word ? "" : text.substr(0, space),
                     one_word ? text : text.substr(space + 1), true)},
          {},
          {}};
}

// The letters are the answers; what they stand for is in the context.
Question mmlu_question(const QuestionFields& fields) {
  const std::vector<std::string> letters = {"A", "B", "C", "D"};
  const std::vector<std::string> answers = fields.texts("choices");
  if (answers.size() != letters.size()) {
    throw fields.error("choices").expected("4 texts").got(fmt::format("{}", answers.size()));
  }
  const std::string subject = fields.text("subject");
  std::string about = subject;
  std::ranges::replace(about, '_', ' ');
  std::string context = stripped(fields.text("question")) + "\n";
  for (size_t i = 0; i < letters.size(); ++i) {
    context += fmt::format("{}. {}\n", letters[i], answers[i]);
  }
  Question question =
      one_context(context + "Answer:", letters, fields.answer("answer", 0, letters.size()));
  question.subject = subject;
  question.description = fmt::format(
      "The following are multiple choice questions (with answers) about {}.\n\n", about);
  return question;
}

Question piqa_question(const QuestionFields& fields) {
  const std::string context = fmt::format("Question: {}\nAnswer:", fields.text("goal"));
  const std::string one = fields.text("sol1"), other = fields.text("sol2");
  return one_context(context, {one, other}, fields.answer("label", 0, 2));
}

Question truthfulqa_mc1_question(const QuestionFields& fields) {
  Question question = truthfulqa_question(fields, "mc1_targets");
  const auto right = std::ranges::count_if(question.choices, &Choice::right);
  if (right == 1) return question;
  throw fields.error("mc1_targets.labels").expected("one right answer").got(std::to_string(right));
}

Question truthfulqa_mc2_question(const QuestionFields& fields) {
  return truthfulqa_question(fields, "mc2_targets");
}

// Partial evaluation (arXiv 1806.02847): each option stands in the context, and what is scored is
// the same for both, the rest of the sentence.
Question winogrande_question(const QuestionFields& fields) {
  const std::string sentence = fields.text("sentence");
  const size_t blank = sentence.find('_');
  if (blank == std::string::npos) {
    throw fields.error("sentence").expected("a '_' where the option goes").got("none");
  }
  const std::string before = sentence.substr(0, blank), rest = stripped(sentence.substr(blank + 1));
  const std::array options = {fields.text("option1"), fields.text("option2")};
  const size_t right = fields.answer("answer", 1, options.size());
  Question question;
  for (size_t i = 0; i < options.size(); ++i) {
    question.choices.push_back(choice_of(before + options[i], rest, i == right));
  }
  return question;
}

}  // namespace nibble
