// SPDX-License-Identifier: Apache-2.0
#include "cli/task_report.h"

#include <fmt/format.h>

#include "cli/output.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

void add_metrics(Json& json, const std::vector<TaskMetric>& metrics) {
  for (const TaskMetric& metric : metrics) {
    json[metric.name] = metric.value;
    json[metric.name + "_stderr"] = metric.standard_error;
  }
}

}  // namespace

std::string tasks_table(const std::vector<TaskResult>& results) {
  Table table({{"task"}, {"metric"}, {"value", true}, {"+/-", true}, {"questions", true}});
  for (const TaskResult& result : results) {
    for (const TaskMetric& metric : result.metrics) {
      table.add({result.task, metric.name, fmt::format("{:.4f}", metric.value),
                 fmt::format("{:.4f}", metric.standard_error),
                 format_count(static_cast<int64_t>(result.samples.size()))});
    }
  }
  return table.text();
}

Json tasks_json(const std::vector<TaskResult>& results) {
  Json list = Json::array();
  for (const TaskResult& result : results) {
    Json task = {{"task", result.task}, {"questions", result.samples.size()}};
    add_metrics(task, result.metrics);
    task["seconds"] = result.seconds;
    for (const TaskSubject& subject : result.subjects) {
      Json& json = task["subjects"][subject.name];
      json["questions"] = subject.questions;
      add_metrics(json, subject.metrics);
    }
    list.push_back(std::move(task));
  }
  return list;
}

std::string samples_text(const std::vector<TaskResult>& results) {
  std::string text;
  for (const TaskResult& result : results) {
    for (const TaskSample& sample : result.samples) {
      Json line = {{"task", result.task}, {"where", sample.where}};
      for (const ContinuationScore& score : sample.scores) {
        line["log_likelihoods"].push_back(score.log_likelihood);
        line["greedy"].push_back(score.greedy);
      }
      for (size_t i = 0; i < result.metrics.size(); ++i) {
        if (result.metrics[i].name == "perplexity") continue;  // its log-likelihood stands there
        line[result.metrics[i].name] = sample.counts[i];
      }
      // A file's name need not be UTF-8.
      text += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    }
  }
  return text;
}

}  // namespace nibble::cli
