// SPDX-License-Identifier: Apache-2.0
#include "cli/budget.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <sstream>
#include <utility>

#include "cli/output.h"

namespace nibble::cli {
namespace {

constexpr std::string_view kBitsUnit = "bpw";

double parse_bits(const std::string& text) {
  double bits = 0;
  const char* last = text.data() + text.size();
  const auto [end, failure] = std::from_chars(text.data(), last, bits);
  const std::string_view unit(end, static_cast<size_t>(last - end));
  if (failure == std::errc() && (unit.empty() || unit == kBitsUnit) && bits > 0 && bits <= 32) {
    return bits;
  }
  throw UsageError(
      fmt::format("--budget: expected bits per weight such as 4.5bpw, got '{}'", text));
}

double bits_of(const PlannedModule& module, const PrecisionChoice& choice) {
  return 8.0 * static_cast<double>(choice.bytes) / static_cast<double>(module.weights);
}

// The error of the choice one smaller or larger, as a multiple of the chosen one's.
std::string neighbour(const PlannedModule& module, bool larger) {
  if (larger ? module.chosen + 1 == module.choices.size() : module.chosen == 0) return "-";
  const PrecisionChoice& other = module.choices[module.chosen + (larger ? 1 : -1)];
  return fmt::format("{:.3e} at {:.2f}", other.error, bits_of(module, other));
}

Table table_of(const PrecisionPlan& plan) {
  Table table({{"module"},
               {"bits", true},
               {"group", true},
               {"bits/w", true},
               {"error", true},
               {"one less", true},
               {"one more", true}});
  for (const PlannedModule& module : plan.modules) {
    const PrecisionWay& way = module.way();
    table.add({module.name, fmt::format("{}", way.bits),
               way.group_size == -1 ? "row" : fmt::format("{}", way.group_size),
               fmt::format("{:.3f}", bits_of(module, module.choice())),
               fmt::format("{:.3e}", module.choice().error), neighbour(module, false),
               neighbour(module, true)});
  }
  return table;
}

// "2 bits: 12 modules, 3 bits: 40 modules"
std::string counts_of(const PrecisionPlan& plan) {
  std::map<int64_t, int64_t> counts;
  for (const PlannedModule& module : plan.modules) ++counts[module.way().bits];
  std::string text;
  for (const auto& [bits, modules] : counts) {
    text += fmt::format("{}{} bits: {} modules", text.empty() ? "" : ", ", bits, modules);
  }
  return text;
}

}  // namespace

void add_budget_options(CLI::App& command, BudgetArguments& arguments) {
  command.add_option(
      "--budget", arguments.bits_per_weight,
      "hqq, gptq: bits per weight at most, 4.5bpw; bits differ from module to module");
  command.add_option("--max-memory", arguments.memory,
                     "hqq, gptq: size of all weights of the new model at most, 3GiB; as --budget");
}

PrecisionBudget parse_budget(const BudgetArguments& arguments) {
  PrecisionBudget budget;
  if (!arguments.bits_per_weight.empty()) {
    budget.bits_per_weight = parse_bits(arguments.bits_per_weight);
  }
  if (!arguments.memory.empty()) budget.bytes = parse_size("--max-memory", arguments.memory);
  return budget;
}

void report_plan(const PrecisionPlan& plan, const CommonOptions& common) {
  if (common.json) return;
  std::istringstream lines(table_of(plan).text());
  for (std::string line; std::getline(lines, line);) note(line, common.quiet);
  note(fmt::format("{}; {:.3f} bits per weight, {} in all", counts_of(plan), plan.bits_per_weight(),
                   format_bytes(plan.total_bytes)),
       common.quiet);
}

nlohmann::ordered_json plan_json(const PrecisionPlan& plan) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  for (const PlannedModule& module : plan.modules) {
    nlohmann::ordered_json choices = nlohmann::ordered_json::array();
    for (size_t i = 0; i < module.choices.size(); ++i) {
      choices.push_back({{"bits", module.ways[i].bits},
                         {"group_size", module.ways[i].group_size},
                         {"bits_per_weight", bits_of(module, module.choices[i])},
                         {"error", module.choices[i].error}});
    }
    modules.push_back(
        {{"module", module.name}, {"chosen", module.chosen}, {"choices", std::move(choices)}});
  }
  return {{"bits_per_weight", plan.bits_per_weight()},
          {"bytes", plan.total_bytes},
          {"error", plan.error},
          {"modules", std::move(modules)}};
}

}  // namespace nibble::cli
