// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/task_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <span>

#include "nibble/base/error.h"
#include "nibble/eval/encode_continuation.h"
#include "nibble/eval/tasks/task.h"

namespace nibble {
namespace {

// The first of the largest, as numpy's argmax.
bool largest_is_right(const Question& question, const std::vector<double>& values) {
  const auto best = std::ranges::max_element(values) - values.begin();
  return question.choices[static_cast<size_t>(best)].right;
}

double most_likely(const Question& question, const std::vector<ContinuationScore>& scores) {
  std::vector<double> values;
  for (const ContinuationScore& score : scores) values.push_back(score.log_likelihood);
  return largest_is_right(question, values);
}

double most_likely_per_character(const Question& question,
                                 const std::vector<ContinuationScore>& scores) {
  std::vector<double> values;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto characters = static_cast<double>(question.choices[i].characters);
    values.push_back(characters > 0 ? scores[i].log_likelihood / characters
                                    : -std::numeric_limits<double>::infinity());
  }
  return largest_is_right(question, values);
}

double right_share(const Question& question, const std::vector<ContinuationScore>& scores) {
  const double most =
      std::ranges::max_element(scores, {}, &ContinuationScore::log_likelihood)->log_likelihood;
  double right = 0, all = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double probability = std::exp(scores[i].log_likelihood - most);
    all += probability;
    if (question.choices[i].right) right += probability;
  }
  return right / all;
}

double is_greedy(const Question&, const std::vector<ContinuationScore>& scores) {
  return scores[0].greedy;
}

double log_likelihood(const Question&, const std::vector<ContinuationScore>& scores) {
  return scores[0].log_likelihood;
}

TaskMetric mean_of(const std::vector<double>& counts) {
  TaskMetric metric;
  const auto n = static_cast<double>(counts.size());
  for (const double count : counts) metric.value += count / n;
  if (counts.size() < 2) return metric;
  double squares = 0;
  for (const double count : counts) squares += (count - metric.value) * (count - metric.value);
  metric.standard_error = std::sqrt(squares / (n - 1) / n);
  return metric;
}

// Delta method: d exp(-m) = exp(-m) dm.
TaskMetric perplexity_of(const std::vector<double>& counts) {
  TaskMetric metric = mean_of(counts);
  metric.value = std::exp(-metric.value);
  metric.standard_error *= metric.value;
  return metric;
}

// A metric: what a question counts, and what becomes of all counts.
struct Metric {
  const char* name;
  double (*count)(const Question&, const std::vector<ContinuationScore>&);
  TaskMetric (*aggregate)(const std::vector<double>&);
};

std::span<const Metric> metrics_of(TaskScoring scoring) {
  static constexpr Metric kMostLikely[] = {{"acc", most_likely, mean_of},
                                           {"acc_norm", most_likely_per_character, mean_of}};
  static constexpr Metric kRightShare[] = {{"acc", right_share, mean_of}};
  static constexpr Metric kLastWord[] = {{"perplexity", log_likelihood, perplexity_of},
                                         {"acc", is_greedy, mean_of}};
  switch (scoring) {
    case TaskScoring::kMostLikely:
      return std::span(kMostLikely).first(1);
    case TaskScoring::kMostLikelyPerCharacter:
      return kMostLikely;
    case TaskScoring::kRightShare:
      return kRightShare;
    case TaskScoring::kLastWord:
      return kLastWord;
  }
  return {};
}

std::vector<TaskMetric> aggregate(std::span<const Metric> metrics,
                                  const std::vector<const TaskSample*>& samples) {
  std::vector<TaskMetric> values;
  for (size_t m = 0; m < metrics.size(); ++m) {
    std::vector<double> counts;
    for (const TaskSample* sample : samples) counts.push_back(sample->counts[m]);
    values.push_back(metrics[m].aggregate(counts));
    values.back().name = metrics[m].name;
  }
  return values;
}

std::vector<TaskSubject> by_subject(std::span<const Metric> metrics,
                                    const std::vector<PlacedQuestion>& questions,
                                    const std::vector<TaskSample>& samples) {
  std::vector<TaskSubject> subjects;
  std::vector<std::vector<const TaskSample*>> of_subject;
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::string& name = questions[i].question.subject;
    if (name.empty()) continue;
    const auto found = std::ranges::find(subjects, name, &TaskSubject::name);
    const auto index = static_cast<size_t>(found - subjects.begin());
    if (found == subjects.end()) {
      subjects.push_back({name, 0, {}});
      of_subject.emplace_back();
    }
    of_subject[index].push_back(&samples[i]);
  }
  for (size_t i = 0; i < subjects.size(); ++i) {
    subjects[i].questions = static_cast<int64_t>(of_subject[i].size());
    subjects[i].metrics = aggregate(metrics, of_subject[i]);
  }
  return subjects;
}

std::vector<ContinuationGroup> encode_questions(const std::vector<PlacedQuestion>& questions,
                                                const std::vector<PlacedQuestion>& examples,
                                                const Tokenizer& tokenizer,
                                                const ModelConfig& config,
                                                const TaskOptions& options) {
  const std::string preamble = options.preamble.empty() ? "" : options.preamble + "\n\n";
  std::vector<ContinuationGroup> groups;
  for (const auto& [question, where] : questions) {
    try {
      const std::string before =
          preamble + question_prefix(question, examples, options.num_fewshot);
      ContinuationGroup& group = groups.emplace_back();
      for (const Choice& choice : question.choices) {
        group.push_back(
            encode_continuation(tokenizer, before + choice.context, choice.continuation));
        check_continuation(group.back(), config);
      }
    } catch (Error& error) {
      throw error.file(where);
    }
  }
  return groups;
}

}  // namespace

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const Task& task : all_tasks()) names.emplace_back(task.name);
  return names;
}

void check_task(std::string_view task, const std::filesystem::path& file, int64_t limit) {
  read_questions(find_task(task), file, limit);
}

TaskResult run_task(std::string_view name, const std::filesystem::path& file, const Model& model,
                    const Tokenizer& tokenizer, Backend& backend, const TaskOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const Task& task = find_task(name);
  const std::vector<PlacedQuestion> questions = read_questions(task, file, options.limit);
  std::vector<PlacedQuestion> examples;
  if (options.num_fewshot > 0) examples = read_questions(task, options.fewshot_file, 0);
  const std::vector<ContinuationGroup> groups =
      encode_questions(questions, examples, tokenizer, model.config(), options);

  Progress* progress = options.progress;
  if (progress) progress->begin(name, static_cast<int64_t>(groups.size()));
  const auto scores = score_continuations(model, backend, groups, [&](int64_t done) {
    if (progress) progress->advance(done, {});
  });
  if (progress) progress->end();

  TaskResult result;
  result.task = name;
  const std::span<const Metric> metrics = metrics_of(task.scoring);
  for (size_t i = 0; i < questions.size(); ++i) {
    TaskSample sample{questions[i].where, scores[i], {}};
    for (const Metric& metric : metrics) {
      sample.counts.push_back(metric.count(questions[i].question, scores[i]));
    }
    result.samples.push_back(std::move(sample));
  }
  std::vector<const TaskSample*> all;
  for (const TaskSample& sample : result.samples) all.push_back(&sample);
  result.metrics = aggregate(metrics, all);
  result.subjects = by_subject(metrics, questions, result.samples);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace nibble
