// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/task_run.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/eval/encode_continuation.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class TaskRunTest : public ::testing::Test {
 protected:
  TaskRunTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = "reference";
    opened_ = open_model(folder_ / "model", options);
    tokenizer_ = Tokenizer::load(folder_ / "model");
  }

  TaskResult run(const char* task, const std::string& lines, const TaskOptions& options = {}) {
    write_file_atomically(folder_ / "q.jsonl", lines);
    return run_task(task, folder_ / "q.jsonl", *opened_.model, *tokenizer_, *opened_.backend,
                    options);
  }

  double log_likelihood(const std::string& context, const std::string& continuation) {
    const ContinuationGroup group = {encode_continuation(*tokenizer_, context, continuation)};
    return score_continuations(*opened_.model, *opened_.backend, {group})[0][0].log_likelihood;
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

// Scores of one question do not depend on those beside it but for rounding.
constexpr double kTolerance = 1e-4;

constexpr const char* kPiqa =
    "{\"goal\": \"go\", \"sol1\": \"walk\", \"sol2\": \"run far away\", \"label\": 0}\n"
    "{\"goal\": \"go\", \"sol1\": \"walk\", \"sol2\": \"run far away\", \"label\": 1}\n"
    "{\"goal\": \"stop\", \"sol1\": \"a b c d e f g h\", \"sol2\": \"x\", \"label\": 0}\n";

TEST_F(TaskRunTest, CountsTheMostLikelyChoiceAndThatOfEachCharacter) {
  const TaskResult result = run("piqa", kPiqa);
  ASSERT_EQ(result.samples.size(), 3u);
  ASSERT_EQ(result.metrics.size(), 2u);
  EXPECT_EQ(result.metrics[0].name, "acc");
  EXPECT_EQ(result.metrics[1].name, "acc_norm");
  const double walk = log_likelihood("Question: go\nAnswer:", " walk");
  const double run_away = log_likelihood("Question: go\nAnswer:", " run far away");
  EXPECT_NEAR(result.samples[0].scores[0].log_likelihood, walk, kTolerance);
  EXPECT_NEAR(result.samples[0].scores[1].log_likelihood, run_away, kTolerance);
  EXPECT_EQ(result.samples[0].counts[0], walk > run_away);
  EXPECT_EQ(result.samples[0].counts[1], walk / 4 > run_away / 12);
  EXPECT_EQ(result.samples[0].counts[0], 1 - result.samples[1].counts[0]);
  double sum = 0, squares = 0;
  for (const TaskSample& sample : result.samples) sum += sample.counts[0];
  for (const TaskSample& sample : result.samples) {
    squares += (sample.counts[0] - sum / 3) * (sample.counts[0] - sum / 3);
  }
  EXPECT_DOUBLE_EQ(result.metrics[0].value, sum / 3);
  EXPECT_NEAR(result.metrics[0].standard_error, std::sqrt(squares / 2 / 3), 1e-12);
}

TEST_F(TaskRunTest, TakesTheShareOfRightAnswersInTheProbabilityOfAll) {
  const TaskResult result =
      run("truthfulqa_mc2",
          "{\"question\": \"q\", \"mc2_targets\": {\"choices\": [\"a\", \"b\", \"cc\"], "
          "\"labels\": [1, 0, 1]}}\n");
  const double a = std::exp(log_likelihood("Q: q\nA:", " a"));
  const double b = std::exp(log_likelihood("Q: q\nA:", " b"));
  const double cc = std::exp(log_likelihood("Q: q\nA:", " cc"));
  EXPECT_NEAR(result.metrics[0].value, (a + cc) / (a + b + cc), kTolerance);
  EXPECT_EQ(result.metrics[0].standard_error, 0);  // unknown of one question
}

TEST_F(TaskRunTest, MeasuresThePerplexityOfLastWords) {
  const TaskResult result =
      run("lambada_openai", "{\"text\": \"ab cd\"}\n{\"text\": \"ef gh ij\"}\n");
  const double one = log_likelihood("ab", " cd"), other = log_likelihood("ef gh", " ij");
  const double perplexity = std::exp(-(one + other) / 2);
  EXPECT_EQ(result.metrics[0].name, "perplexity");
  EXPECT_NEAR(result.metrics[0].value / perplexity, 1, kTolerance);
  // The error of a mean of two is half their difference.
  EXPECT_NEAR(result.metrics[0].standard_error / (perplexity * std::fabs(one - other) / 2), 1,
              1e-3);
  EXPECT_EQ(result.metrics[1].name, "acc");
  EXPECT_EQ(result.metrics[1].value, 0);  // two characters that a random model does not say
}

TEST_F(TaskRunTest, TellsSubjectsApart) {
  const std::string question = R"({"question": "q", "choices": ["a", "b", "c", "d"], "subject": )";
  std::string lines;
  for (const char* rest :
       {"\"law\", \"answer\": 0}", "\"art\", \"answer\": 0}", "\"law\", \"answer\": 1}",
        "\"law\", \"answer\": 2}", "\"law\", \"answer\": 3}"}) {
    lines += question + rest + "\n";
  }
  const TaskResult result = run("mmlu", lines);
  ASSERT_EQ(result.subjects.size(), 2u);
  EXPECT_EQ(result.subjects[0].name, "law");
  EXPECT_EQ(result.subjects[0].questions, 4);
  EXPECT_EQ(result.subjects[0].metrics[0].value, 0.25);  // the same question with every answer
  EXPECT_EQ(result.subjects[1].name, "art");
  EXPECT_EQ(result.subjects[1].questions, 1);
}

TEST_F(TaskRunTest, PutsThePreambleBeforeEveryPrompt) {
  TaskOptions options;
  options.preamble = "Q: 1\nA: 2";
  options.limit = 2;
  const TaskResult result =
      run("lambada_openai", "{\"text\": \"ab cd\"}\n{\"text\": \"ef gh\"}\n{\"no\": 1}\n", options);
  ASSERT_EQ(result.samples.size(), 2u);
  EXPECT_NEAR(result.samples[1].scores[0].log_likelihood, log_likelihood("Q: 1\nA: 2\n\nef", " gh"),
              kTolerance);
}

TEST_F(TaskRunTest, ShowsExamplesBehindThePreamble) {
  TaskOptions options;
  options.preamble = "Hi.";
  options.num_fewshot = 1;
  options.fewshot_file = folder_ / "shots.jsonl";
  write_file_atomically(options.fewshot_file, "{\"text\": \"yz uv\"}\n");
  const TaskResult result = run("lambada_openai", "{\"text\": \"ab cd\"}\n", options);
  EXPECT_NEAR(result.samples[0].scores[0].log_likelihood,
              log_likelihood("Hi.\n\nyz uv\n\nab", " cd"), kTolerance);
  options.num_fewshot = 2;
  EXPECT_THROW(run("lambada_openai", "{\"text\": \"ab cd\"}\n", options), Error);
}

TEST_F(TaskRunTest, SaysWhichQuestionCannotBeAsked) {
  try {
    run("lambada_openai", "{\"text\": \"ab cd\"}\n{\"txt\": \"\"}\n");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("q.jsonl:2: "), std::string::npos) << error.what();
  }
  try {
    run("lambada_openai", "{\"text\": \"a b\"}\n{\"text\": \"a " + std::string(200, 'b') + "\"}\n");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("q.jsonl:2: a continuation does not fit"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(run("no_task", ""), Error);
  EXPECT_THROW(check_task("piqa", folder_ / "none.jsonl"), Error);
}

}  // namespace
}  // namespace nibble
