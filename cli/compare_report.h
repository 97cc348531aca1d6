// SPDX-License-Identifier: Apache-2.0
//
// What `compare` prints: a row for each model, as Markdown, as a page of HTML with a plot, or as
// JSON, and the plot alone. Columns that no row has are left out.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

struct CompareRow {
  std::string model, scheme;  // the folder, and what its weights are in
  std::string label;          // in the plot: what tells it from the others
  int64_t bytes = 0;          // of everything that stays in memory or mapped
  int64_t parameters = 0;
  std::optional<double> perplexity;
  std::optional<DivergenceResult> divergence;  // from the first model; absent of itself
  std::vector<TaskResult> tasks;               // the same ones in every row
  std::optional<SpeedFigures> speed;

  double bits_per_weight() const;
};

struct CompareReport {
  std::vector<CompareRow> rows;         // the first is the reference
  std::string text, counted;            // the file of --perplexity, and how its tokens count
  nlohmann::ordered_json convention;    // the same for programs
  int64_t num_fewshot = 0;              // examples before each question of the tasks
  std::optional<SpeedCase> speed_case;  // absent: no speeds
  std::string backend;
  int threads = 0;
};

std::string compare_markdown(const CompareReport& report);
std::string compare_html(const CompareReport& report);
nlohmann::ordered_json compare_json(const CompareReport& report);

// Quality against size: perplexity where there is one, else the mean accuracy over the tasks.
// Absent where rows have neither.
std::optional<std::string> compare_svg(const CompareReport& report);

}  // namespace nibble::cli
