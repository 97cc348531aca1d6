// SPDX-License-Identifier: Apache-2.0
//
// `nibble quantize --budget` and `--max-memory`: bits that differ from module to module.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

struct BudgetArguments {
  std::string bits_per_weight, memory;  // "4.5bpw", "3GiB"; empty: not given

  bool given() const { return !bits_per_weight.empty() || !memory.empty(); }
};

void add_budget_options(CLI::App& command, BudgetArguments& arguments);

// Throws UsageError for what is no budget.
PrecisionBudget parse_budget(const BudgetArguments& arguments);

// What was chosen and what it spares; the table goes to stderr unless --quiet or --json.
void report_plan(const PrecisionPlan& plan, const CommonOptions& common);

// The same for the JSON document.
nlohmann::ordered_json plan_json(const PrecisionPlan& plan);

}  // namespace nibble::cli
