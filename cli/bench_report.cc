// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "cli/output.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

// A column of the table: its title, and its cell of a row.
struct BenchColumn {
  Table::Column column;
  std::function<std::string(const BenchRow&)> cell;
};

std::string speed_cell(std::optional<double> tokens_per_second) {
  if (!tokens_per_second) return "-";
  return fmt::format("{:.{}f}", *tokens_per_second, *tokens_per_second < 1000 ? 1 : 0);
}

std::string share_cell(std::optional<double> share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : "-";
}

std::string megabytes_cell(std::optional<double> bytes, const char* absent) {
  return bytes ? fmt::format("{:.1f}", *bytes / 1e6) : absent;
}

// How many times as fast as the first scheme of the same case.
std::string ratio_cell(const BenchReport& report, const BenchRow& row) {
  const auto same_case = [&](const BenchRow& other) {
    const SpeedCase &a = row.speed_case, &b = other.speed_case;
    return a.batch == b.batch && a.prompt == b.prompt && a.generate == b.generate &&
           a.use_cache == b.use_cache;
  };
  const SpeedFigures& first = std::ranges::find_if(report.rows, same_case)->figures;
  const SpeedFigures& own = row.figures;
  return fmt::format("{:.2f} x",
                     own.decode_tokens_per_second
                         ? *own.decode_tokens_per_second / *first.decode_tokens_per_second
                         : own.prefill_tokens_per_second / first.prefill_tokens_per_second);
}

std::vector<BenchColumn> bench_columns(const BenchReport& report) {
  const auto any = [&](const auto& has) { return std::ranges::any_of(report.rows, has); };
  const auto number = [](int64_t value) { return fmt::format("{}", value); };
  std::vector<BenchColumn> columns;
  const auto add = [&](std::string title, bool right, auto cell) {
    columns.push_back({{std::move(title), right}, std::move(cell)});
  };
  add("scheme", false,
      [](const BenchRow& row) { return row.scheme + (row.figures.slow ? " *" : ""); });
  add("batch", true, [=](const BenchRow& row) { return number(row.speed_case.batch); });
  add("prompt", true, [=](const BenchRow& row) { return number(row.speed_case.prompt); });
  add("new", true, [=](const BenchRow& row) { return number(row.speed_case.generate); });
  if (any([](const BenchRow& row) { return !row.speed_case.use_cache; })) {
    add("cache", false,
        [](const BenchRow& row) { return row.speed_case.use_cache ? "yes" : "no"; });
  }
  add("prefill tok/s", true,
      [](const BenchRow& row) { return speed_cell(row.figures.prefill_tokens_per_second); });
  add("of peak", true, [](const BenchRow& row) { return share_cell(row.figures.prefill_of_peak); });
  if (any([](const BenchRow& row) { return row.figures.decode_tokens_per_second.has_value(); })) {
    add("decode tok/s", true,
        [](const BenchRow& row) { return speed_cell(row.figures.decode_tokens_per_second); });
    add("of bandwidth", true,
        [](const BenchRow& row) { return share_cell(row.figures.decode_of_bandwidth); });
    add("MB/token", true, [](const BenchRow& row) {
      return megabytes_cell(row.figures.weight_bytes_per_token, "-");
    });
    add("both tok/s", true,
        [](const BenchRow& row) { return speed_cell(row.figures.tokens_per_second); });
  }
  const std::string& first = report.rows.front().scheme;
  if (any([&](const BenchRow& row) { return row.scheme != first; })) {
    add("against " + first, true,
        [&report](const BenchRow& row) { return ratio_cell(report, row); });
  }
  add("peak MB", true,
      [](const BenchRow& row) { return megabytes_cell(row.peak_resident_bytes, "unknown"); });
  add("load s", true, [](const BenchRow& row) {
    return fmt::format("{:.2f}, {:.2f}", row.first_load_seconds, row.second_load_seconds);
  });
  return columns;
}

std::string bench_footer(const BenchReport& report) {
  int64_t samples = 0, slow = 0, counted_slow = 0;
  for (const BenchRow& row : report.rows) {
    samples += row.figures.samples;
    slow += row.figures.slow_samples;
    if (row.figures.slow) counted_slow += row.figures.slow_samples;
  }
  if (slow == 0) return {};
  std::string text = fmt::format(
      "\n{} of {} samples were taken while the machine was slow (below {:.0f} % of its best); {} "
      "of "
      "them left out.\n",
      slow, samples, 100 * report.slow_below, slow - counted_slow);
  if (counted_slow > 0) {
    text += "* too few samples were not slow, so that all count; more --patience may help.\n";
  }
  return text;
}

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json row_json(const BenchRow& row) {
  const SpeedFigures& figures = row.figures;
  return {
      {"scheme", row.scheme},
      {"batch", row.speed_case.batch},
      {"prompt_tokens", row.speed_case.prompt},
      {"new_tokens", row.speed_case.generate},
      {"use_cache", row.speed_case.use_cache},
      {"prefill_tokens_per_second", figures.prefill_tokens_per_second},
      {"prefill_of_peak", figures.prefill_of_peak},
      {"decode_tokens_per_second", optional_json(figures.decode_tokens_per_second)},
      {"decode_of_bandwidth", optional_json(figures.decode_of_bandwidth)},
      {"seconds_per_pass", optional_json(figures.seconds_per_pass)},
      {"weight_bytes_per_token", optional_json(figures.weight_bytes_per_token)},
      {"tokens_per_second", optional_json(figures.tokens_per_second)},
      {"peak_resident_bytes", row.peak_resident_bytes ? Json(*row.peak_resident_bytes) : Json()},
      {"model_bytes", row.model_bytes},
      {"load_seconds", {{"first", row.first_load_seconds}, {"second", row.second_load_seconds}}},
      {"samples",
       {{"taken", figures.samples},
        {"slow", figures.slow_samples},
        {"counted", figures.counted_samples}}},
      {"slow", figures.slow}};
}

}  // namespace

std::string bench_text(const BenchReport& report, bool markdown) {
  const std::vector<BenchColumn> columns = bench_columns(report);
  std::vector<Table::Column> titles;
  for (const BenchColumn& column : columns) titles.push_back(column.column);
  Table table(std::move(titles));
  for (const BenchRow& row : report.rows) {
    std::vector<std::string> cells;
    for (const BenchColumn& column : columns) cells.push_back(column.cell(row));
    table.add(std::move(cells));
  }
  return fmt::format(
      "{} on {}, {} {}; at its best the machine read {:.1f} GB/s and did {:.0f} GFLOP/s\n\n{}{}",
      printable(report.model), report.backend, report.threads,
      report.threads == 1 ? "thread" : "threads", report.best.read_bytes_per_second / 1e9,
      2 * report.best.multiply_adds_per_second / 1e9, markdown ? table.markdown() : table.text(),
      bench_footer(report));
}

Json bench_json(const BenchReport& report) {
  Json document = {
      {"model", report.model},
      {"backend", report.backend},
      {"threads", report.threads},
      {"best_read_bytes_per_second", report.best.read_bytes_per_second},
      {"best_flops_per_second", 2 * report.best.multiply_adds_per_second},
      {"warmup", report.warmup},
      {"repeats", report.repeats},
      {"patience", report.patience},
      {"slow_below", report.slow_below},
      {"rows", Json::array()},
  };
  for (const BenchRow& row : report.rows) document["rows"].push_back(row_json(row));
  return document;
}

}  // namespace nibble::cli
