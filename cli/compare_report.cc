// SPDX-License-Identifier: Apache-2.0
#include "cli/compare_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "cli/output.h"
#include "cli/scatter_plot.h"
#include "cli/task_report.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

// acc_norm where a task has it: the last of its metrics that is an accuracy.
const TaskMetric& accuracy_of(const TaskResult& task) {
  const TaskMetric* accuracy = &task.metrics[0];
  for (const TaskMetric& metric : task.metrics) {
    if (metric.name.starts_with("acc")) accuracy = &metric;
  }
  return *accuracy;
}

double mean_accuracy(const CompareRow& row) {
  double sum = 0;
  for (const TaskResult& task : row.tasks) sum += accuracy_of(task).value;
  return sum / static_cast<double>(row.tasks.size());
}

std::string rate_cell(double tokens_per_second) {
  return fmt::format("{:.{}f}", tokens_per_second, tokens_per_second < 1000 ? 1 : 0);
}

void add_quality_columns(const CompareReport& report, std::vector<Table::Column>& columns) {
  const CompareRow& first = report.rows.front();
  if (first.perplexity) columns.push_back({"perplexity", true});
  if (first.perplexity && report.rows.size() > 1) {
    columns.push_back({"KL divergence", true});
    columns.push_back({"same top token", true});
  }
  for (const TaskResult& task : first.tasks) {
    for (const TaskMetric& metric : task.metrics) {
      columns.push_back({task.task + " " + metric.name, true});
    }
  }
}

void add_quality_cells(const CompareReport& report, const CompareRow& row,
                       std::vector<std::string>& cells) {
  if (row.perplexity) cells.push_back(fmt::format("{:.4f}", *row.perplexity));
  if (row.perplexity && report.rows.size() > 1) {
    cells.push_back(row.divergence ? fmt::format("{:.5f}", row.divergence->mean_kl) : "-");
    cells.push_back(row.divergence ? fmt::format("{:.2f} %", 100 * row.divergence->same_top) : "-");
  }
  for (const TaskResult& task : row.tasks) {
    for (const TaskMetric& metric : task.metrics) {
      cells.push_back(fmt::format("{:.4f} ± {:.4f}", metric.value, metric.standard_error));
    }
  }
}

Table compare_table(const CompareReport& report) {
  std::vector<Table::Column> columns = {
      {"model"}, {"scheme"}, {"bits/weight", true}, {"size", true}};
  add_quality_columns(report, columns);
  const bool decodes = report.speed_case && report.speed_case->decode_passes() > 0;
  if (report.speed_case) columns.push_back({"prefill tok/s", true});
  if (decodes) columns.push_back({"decode tok/s", true});
  Table table(std::move(columns));
  for (const CompareRow& row : report.rows) {
    std::vector<std::string> cells = {row.model, row.scheme,
                                      fmt::format("{:.3f}", row.bits_per_weight()),
                                      format_bytes(row.bytes)};
    add_quality_cells(report, row, cells);
    if (row.speed) cells.push_back(rate_cell(row.speed->prefill_tokens_per_second));
    if (decodes) cells.push_back(rate_cell(*row.speed->decode_tokens_per_second));
    table.add(std::move(cells));
  }
  return table;
}

// What the columns mean, a sentence each.
std::vector<std::string> compare_notes(const CompareReport& report) {
  std::vector<std::string> notes = {"Bits per weight: of everything stored, over all parameters."};
  if (!report.text.empty()) {
    notes.push_back(fmt::format("Perplexity on {}, {}.", report.text, report.counted));
    if (report.rows.size() > 1) {
      notes.push_back(fmt::format("KL divergence in nats a token, and same top token: against {}.",
                                  report.rows[0].label));
    }
  }
  if (!report.rows[0].tasks.empty()) {
    std::string counts;
    for (const TaskResult& task : report.rows[0].tasks) {
      counts +=
          fmt::format("{}{} ({})", counts.empty() ? "" : ", ", task.task, task.samples.size());
    }
    notes.push_back(
        fmt::format("Questions: {}; prompts and metrics of lm-evaluation-harness 0.4, {} examples.",
                    counts, report.num_fewshot == 0 ? "no" : std::to_string(report.num_fewshot)));
  }
  if (report.speed_case) {
    notes.push_back(fmt::format("Speed: a prompt of {} tokens, {} new ones, {}, {} {}.",
                                report.speed_case->prompt, report.speed_case->generate,
                                report.backend, report.threads,
                                report.threads == 1 ? "thread" : "threads"));
  }
  return notes;
}

Json row_json(const CompareRow& row) {
  Json json = {{"model", row.model},
               {"scheme", row.scheme},
               {"bytes", row.bytes},
               {"parameters", row.parameters},
               {"bits_per_weight", row.bits_per_weight()}};
  if (row.perplexity) json["perplexity"] = *row.perplexity;
  if (row.divergence) {
    json["kl"] = row.divergence->mean_kl;
    json["kl_standard_error"] = row.divergence->kl_standard_error;
    json["same_top"] = row.divergence->same_top;
  }
  if (!row.tasks.empty()) json["tasks"] = tasks_json(row.tasks);
  if (row.speed) {
    json["prefill_tokens_per_second"] = row.speed->prefill_tokens_per_second;
    if (row.speed->decode_tokens_per_second) {
      json["decode_tokens_per_second"] = *row.speed->decode_tokens_per_second;
    }
  }
  return json;
}

constexpr const char* kPageStyle =
    ":root{color-scheme:light dark}\n"
    "body{font-family:system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\n"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}\n"
    "th,td{padding:.4em .8em;border-bottom:1px solid #8888;text-align:left;white-space:nowrap}\n"
    ".number{text-align:right;font-variant-numeric:tabular-nums}\n"
    "svg{max-width:100%;height:auto}\n";

}  // namespace

double CompareRow::bits_per_weight() const {
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
}

std::string compare_markdown(const CompareReport& report) {
  std::string text = compare_table(report).markdown() + "\n";
  for (const std::string& note : compare_notes(report)) text += printable(note) + "\n";
  return text;
}

std::string compare_html(const CompareReport& report) {
  const std::string title = escape_markup(printable(report.rows[0].label + " in other forms"));
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n"
      "<style>\n{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{2}",
      title, kPageStyle, compare_table(report).html());
  page += compare_svg(report).value_or("");
  for (const std::string& note : compare_notes(report)) {
    page += "<p>" + escape_markup(printable(note)) + "</p>\n";
  }
  return page + "</body>\n</html>\n";
}

Json compare_json(const CompareReport& report) {
  Json document;
  if (!report.text.empty()) {
    document["text"] = report.text;
    document.update(report.convention);
  }
  if (report.speed_case) {
    document["speed"] = {{"prompt_tokens", report.speed_case->prompt},
                         {"new_tokens", report.speed_case->generate},
                         {"backend", report.backend},
                         {"threads", report.threads}};
  }
  document["rows"] = Json::array();
  for (const CompareRow& row : report.rows) document["rows"].push_back(row_json(row));
  return document;
}

std::optional<std::string> compare_svg(const CompareReport& report) {
  const bool of_text = report.rows[0].perplexity.has_value();
  if (!of_text && report.rows[0].tasks.empty()) return std::nullopt;
  ScatterPlot plot;
  plot.title = of_text ? "Perplexity against size" : "Accuracy against size";
  plot.x_title = "size in MB";
  plot.y_title = of_text ? "perplexity (lower is better)" : "mean accuracy (higher is better)";
  for (const CompareRow& row : report.rows) {
    const double quality = of_text ? *row.perplexity : mean_accuracy(row);
    if (!std::isfinite(quality)) continue;  // of a broken model
    plot.points.push_back({static_cast<double>(row.bytes) / 1e6, quality, printable(row.label),
                           &row == &report.rows[0]});
  }
  if (plot.points.empty()) return std::nullopt;
  return scatter_svg(plot);
}

}  // namespace nibble::cli
