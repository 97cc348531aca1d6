// SPDX-License-Identifier: Apache-2.0
//
// What is asked of each data set's entries, and what is said of entries that are none. That scores
// equal lm-evaluation-harness' own, tests/interop/tasks.py checks.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/eval/tasks/hellaswag_text.h"
#include "nibble/eval/tasks/task.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {
namespace {

Question ask(const char* task, const char* entry) {
  const auto json = nlohmann::ordered_json::parse(entry);
  return find_task(task).question(QuestionFields(json, "q.jsonl:7"));
}

std::string complaint(const char* task, const char* entry) {
  try {
    ask(task, entry);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_choice(const Choice& choice, const char* context, const char* continuation,
                   int64_t characters, bool right) {
  EXPECT_EQ(choice.context, context);
  EXPECT_EQ(choice.continuation, continuation);
  EXPECT_EQ(choice.characters, characters);
  EXPECT_EQ(choice.right, right);
}

TEST(TaskQuestions, ArcIsAskedForItsAnswersText) {
  for (const char* task : {"arc_easy", "arc_challenge"}) {
    const Question question = ask(task, R"({"question": "Why?", "answerKey": "2",
        "choices": {"text": ["so", "naïf"], "label": ["1", "2"]}})");
    ASSERT_EQ(question.choices.size(), 2u);
    expect_choice(question.choices[0], "Question: Why?\nAnswer:", " so", 2, false);
    expect_choice(question.choices[1], "Question: Why?\nAnswer:", " naïf", 4, true);
  }
}

TEST(TaskQuestions, OpenBookQaIsContinued) {
  const Question question = ask("openbookqa", R"({"question_stem": "Ice is", "answerKey": "A",
      "choices": {"text": ["cold", "hot"], "label": ["A", "B"]}})");
  expect_choice(question.choices[0], "Ice is", " cold", 4, true);
}

TEST(TaskQuestions, HellaSwagIsCleanedOfItsMarkup) {
  const Question question =
      ask("hellaswag", R"({"activity_label": "Cooking", "ctx_a": "A man cooks.",
      "ctx_b": "the Man", "endings": ["[substeps] eats it.", "runs  off."], "label": "1"})");
  ASSERT_EQ(question.choices.size(), 2u);
  expect_choice(question.choices[0], "Cooking: A man cooks. The man", "  eats it.", 9, false);
  expect_choice(question.choices[1], "Cooking: A man cooks. The man", " runs off.", 9, true);
}

TEST(TaskQuestions, LambadaAsksForTheLastWord) {
  const Question question = ask("lambada_openai", R"({"text": "she said to  him"})");
  ASSERT_EQ(question.choices.size(), 1u);
  expect_choice(question.choices[0], "she said to ", " him", 3, true);
  expect_choice(ask("lambada_standard", R"({"text": "him"})").choices[0], "", " him", 3, true);
}

TEST(TaskQuestions, MmluAsksForALetter) {
  const Question question = ask("mmlu", R"({"question": " 1 + 1 ", "subject": "abstract_algebra",
      "choices": ["0", "1", "2", "3"], "answer": 2})");
  ASSERT_EQ(question.choices.size(), 4u);
  EXPECT_EQ(question.subject, "abstract_algebra");
  EXPECT_EQ(question.description,
            "The following are multiple choice questions (with answers) about abstract "
            "algebra.\n\n");
  expect_choice(question.choices[2], "1 + 1\nA. 0\nB. 1\nC. 2\nD. 3\nAnswer:", " C", 1, true);
  EXPECT_FALSE(question.choices[0].right);
}

TEST(TaskQuestions, PiqaHasTwoSolutions) {
  const Question question =
      ask("piqa", R"({"goal": "dry socks", "sol1": "wait", "sol2": "wet them", "label": 0})");
  expect_choice(question.choices[0], "Question: dry socks\nAnswer:", " wait", 4, true);
  expect_choice(question.choices[1], "Question: dry socks\nAnswer:", " wet them", 8, false);
}

TEST(TaskQuestions, TruthfulQaHasOneOrSeveralTrueAnswers) {
  const char* entry = R"({"question": "Is it?", "mc1_targets": {"choices": ["no", "yes"],
      "labels": [1, 0]}, "mc2_targets": {"choices": ["no", "never", "yes"], "labels": [1, 1, 0]}})";
  const Question one = ask("truthfulqa_mc1", entry), several = ask("truthfulqa_mc2", entry);
  ASSERT_EQ(one.choices.size(), 2u);
  ASSERT_EQ(several.choices.size(), 3u);
  expect_choice(one.choices[0], "Q: Is it?\nA:", " no", 2, true);
  expect_choice(several.choices[1], "Q: Is it?\nA:", " never", 5, true);
  EXPECT_FALSE(several.choices[2].right);
}

TEST(TaskQuestions, WinoGrandePutsTheOptionsIntoTheContext) {
  const Question question = ask("winogrande", R"({"sentence": "Al met Bo, and _ was late. ",
      "option1": "Al", "option2": "Bo", "answer": "2"})");
  ASSERT_EQ(question.choices.size(), 2u);
  expect_choice(question.choices[0], "Al met Bo, and Al", " was late.", 9, false);
  expect_choice(question.choices[1], "Al met Bo, and Bo", " was late.", 9, true);
}

TEST(TaskQuestions, SayWhichFieldIsWrong) {
  EXPECT_EQ(complaint("piqa", "[1]"), "q.jsonl:7: not a question: expected a JSON object, got [1]");
  EXPECT_EQ(complaint("piqa", R"({"goal": "a", "sol1": "b"})"),
            "q.jsonl:7: the question has no field 'sol2': got goal, sol1");
  EXPECT_EQ(complaint("piqa", R"({"goal": "a", "sol1": "b", "sol2": 5, "label": 0})"),
            "q.jsonl:7: bad value of 'sol2': expected a text, got 5");
  EXPECT_EQ(complaint("piqa", R"({"goal": "a", "sol1": "b", "sol2": "c", "label": -1})"),
            "q.jsonl:7: bad value of 'label': expected 0 to 1, got -1");
  EXPECT_EQ(complaint("hellaswag", R"({"activity_label": "", "ctx_a": "", "ctx_b": "",
                                       "endings": ["a", "b"], "label": ""})"),
            "q.jsonl:7: bad value of 'label': expected 0 to 1, got \"\"");
  EXPECT_EQ(complaint("arc_easy", R"({"question": "a", "answerKey": "E",
                                      "choices": {"text": ["b"], "label": ["A"]}})"),
            "q.jsonl:7: bad value of 'answerKey': expected one of A, got E");
  EXPECT_EQ(complaint("arc_easy", R"({"question": "a", "answerKey": "B",
                                      "choices": {"text": ["b"], "label": ["A", "B"]}})"),
            "q.jsonl:7: bad value of 'choices.label': expected 1 labels, got 2");
  EXPECT_EQ(complaint("arc_easy", R"({"question": "a", "answerKey": "A", "choices": ["b"]})"),
            "q.jsonl:7: bad value of 'choices': expected a JSON object, got [\"b\"]");
  EXPECT_EQ(complaint("mmlu", R"({"question": "a", "choices": [], "answer": 0, "subject": "s"})"),
            "q.jsonl:7: bad value of 'choices': expected a list of texts, got []");
  EXPECT_EQ(complaint("mmlu", R"({"question": "a", "choices": ["b"], "answer": 0,
                                  "subject": "s"})"),
            "q.jsonl:7: bad value of 'choices': expected 4 texts, got 1");
  EXPECT_EQ(complaint("winogrande", R"({"sentence": "a", "option1": "b", "option2": "c",
                                        "answer": "1"})"),
            "q.jsonl:7: bad value of 'sentence': expected a '_' where the option goes, got none");
  EXPECT_EQ(complaint("truthfulqa_mc1", R"({"question": "a", "mc1_targets":
                                            {"choices": ["b", "c"], "labels": [1, 1]}})"),
            "q.jsonl:7: bad value of 'mc1_targets.labels': expected one right answer, got 2");
  EXPECT_EQ(complaint("truthfulqa_mc2", R"({"question": "a", "mc2_targets":
                                            {"choices": ["b", "c"], "labels": [0, 2]}})"),
            "q.jsonl:7: bad value of 'mc2_targets.labels': expected a list of 2 numbers, 0 or 1, "
            "got [0,2]");
  EXPECT_EQ(complaint("truthfulqa_mc2", R"({"question": "a", "mc2_targets":
                                            {"choices": ["b", "c"], "labels": [0, 0]}})"),
            "q.jsonl:7: bad value of 'mc2_targets.labels': expected a right answer, got none");
}

// Questions of two choices, the second right.
PlacedQuestion placed(const std::string& context, const std::string& subject) {
  return {{{{context, " no", 2, false}, {context, " yes", 3, true}}, subject, "About.\n\n"}, ""};
}

TEST(TaskExamples, AreTheFirstOfTheSubjectWithTheirAnswers) {
  const std::vector<PlacedQuestion> examples = {placed("a?", "law"), placed("b?", "art"),
                                                placed("c?", "law"), placed("d?", "law")};
  const Question question = placed("e?", "law").question;
  EXPECT_EQ(question_prefix(question, examples, 0), "About.\n\n");
  EXPECT_EQ(question_prefix(question, examples, 2), "About.\n\na? yes\n\nc? yes\n\n");
}

TEST(TaskExamples, NeverAnswerTheQuestionItself) {
  const std::vector<PlacedQuestion> examples = {placed("a?", ""), placed("b?", "")};
  EXPECT_EQ(question_prefix(examples[0].question, examples, 1), "About.\n\nb? yes\n\n");
  try {
    question_prefix(placed("a?", "").question, examples, 2);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "there are too few examples: expected 2 besides the question itself, got 1");
  }
  EXPECT_THROW(question_prefix(placed("a?", "law").question, examples, 1), Error);
}

class QuestionFileTest : public ::testing::Test {
 protected:
  std::string complaint(const char* name, const char* content) {
    write_file_atomically(folder_ / name, content);
    try {
      read_questions(find_task("lambada_openai"), folder_ / name, 0);
    } catch (const Error& error) {
      return std::string(error.what()).substr((folder_ / "").string().size());
    }
    return "";
  }

  testing::ScratchFolder folder_;
};

TEST_F(QuestionFileTest, IsALineOrAListEntryForEachQuestion) {
  write_file_atomically(folder_ / "q.jsonl", "{\"text\": \"a b\"}\n\n{\"text\": \"c d\"}\nnothing");
  const auto lines = read_questions(find_task("lambada_openai"), folder_ / "q.jsonl", 2);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].question.choices[0].continuation, " d");
  EXPECT_EQ(lines[1].where, (folder_ / "q.jsonl:3").string());
  write_file_atomically(folder_ / "q.json", R"([{"text": "a b"}, {"text": "c d"}])");
  EXPECT_EQ(read_questions(find_task("lambada_openai"), folder_ / "q.json", 0).size(), 2u);
}

TEST_F(QuestionFileTest, ThatIsBrokenIsToldByLine) {
  EXPECT_EQ(complaint("q.jsonl", "{\"text\": \"a b\"}\n\n{\"txt\": \"c\"}\n"),
            "q.jsonl:3: the question has no field 'text': got txt");
  EXPECT_EQ(complaint("q.jsonl", "{\"text\": \"a b\"}\nnonsense\n").substr(0, 36),
            "q.jsonl:2: file is not valid JSON: g");
  EXPECT_EQ(complaint("q.json", R"([{"text": "a b"}, {}])"),
            "q.json: entry 2: the question has no field 'text': got no fields");
  EXPECT_EQ(complaint("q.json", R"({"text": "a b"})"),
            "q.json: not a list: expected a JSON list, got object");
  EXPECT_EQ(complaint("q.jsonl", "\n"),
            "q.jsonl: the file holds no questions: expected one entry "
            "for each question of lambada_openai");
  EXPECT_EQ(complaint("q.parquet", "PAR1"),
            "q.parquet: not a file of lambada_openai questions: "
            "expected JSON lines (.jsonl) or a JSON list (.json), plain or .zst");
}

TEST(Tasks, HaveNamesAndAnErrorThatListsThem) {
  EXPECT_EQ(find_task("hellaswag").scoring, TaskScoring::kMostLikelyPerCharacter);
  try {
    find_task("hellaswog");
    ADD_FAILURE();
  } catch (const Error& error) {
    for (const Task& task : all_tasks()) {
      EXPECT_NE(std::string(error.what()).find(task.name), std::string::npos) << task.name;
    }
  }
}

TEST(HellaSwagText, ReplacesInOnePass) {
  EXPECT_EQ(hellaswag_text("  a\t"), "a");
  EXPECT_EQ(hellaswag_text("How [title] Do it [step] now"), "How. Do it now");
  EXPECT_EQ(hellaswag_text("a   b    c"), "a  b  c");
  EXPECT_EQ(hellaswag_text("[a [b] c] d"), " c] d");
  EXPECT_EQ(hellaswag_text("a [b\nc] [d]"), "a [b\nc] ");
  EXPECT_EQ(hellaswag_text("a [b"), "a [b");
  EXPECT_EQ(hellaswag_text(""), "");
}

TEST(HellaSwagText, IsCapitalizedAsPythonDoes) {
  EXPECT_EQ(hellaswag_capitalized("the MAN"), "The man");
  EXPECT_EQ(hellaswag_capitalized("élan VITAL"), "Élan vital");
  EXPECT_EQ(hellaswag_capitalized(""), "");
}

}  // namespace
}  // namespace nibble
