// SPDX-License-Identifier: Apache-2.0
#include "cli/calibration.h"

#include <fmt/format.h>

#include <limits>
#include <sstream>

#include "cli/output.h"

namespace nibble::cli {

void add_calibration_options(CLI::App& command, CalibrationArguments& arguments) {
  command.add_option(
      "--calibration", arguments.texts,
      "gptq, awq, hqq with a budget: texts to calibrate with, a .json list, .jsonl or "
      "plain text, each also as .zst");
  command
      .add_option("--calibration-samples", arguments.samples,
                  "Sequences to calibrate with (default 128)")
      ->check(CLI::Range(1, 1'000'000));
  command
      .add_option("--calibration-seqlen", arguments.seqlen,
                  "Tokens of each (default gptq 2048, others 512, or the model's context)")
      ->check(CLI::Range(11, 1'000'000));
  command
      .add_option("--calibration-convention", arguments.convention,
                  "How sequences are taken of the texts: wikitext2 and c4 as GPTQ's code does it, "
                  "pileval as AutoAWQ's (default auto: the first texts, or windows of plain text)")
      ->check(CLI::IsMember({"auto", "wikitext2", "c4", "pileval"}));
  command.add_option("--calibration-seed", arguments.seed,
                     "Seed of the texts and windows drawn (default 0, pileval 42)");
  command.add_option("--damp-percent", arguments.damp_percent,
                     "gptq: of the Hessian's mean diagonal, added to it (default 0.1)");
  command.add_flag("--desc-act", arguments.desc_act,
                   "gptq: columns in order of decreasing activation, whatever their group");
  command.add_flag("--static-groups", arguments.static_groups,
                   "gptq: scales from the weights as they are before any correction");
  command.add_flag("--parity", arguments.parity,
                   "gptq: scales and the order of columns as in the original code");
  command.add_option(
      "--calibration-memory", arguments.memory,
      "gptq, awq: of the texts' hidden states at most so many bytes are in memory (8GB, 500MB; "
      "default all), the rest in files beside DST");
}

void require_calibration(const CalibrationArguments& arguments) {
  if (!arguments.texts.empty()) return;
  const auto needs = [](bool given, const char* option) {
    if (given) throw UsageError(fmt::format("{} needs --calibration", option));
  };
  needs(arguments.samples.has_value(), "--calibration-samples");
  needs(arguments.seqlen.has_value(), "--calibration-seqlen");
  needs(!arguments.convention.empty(), "--calibration-convention");
  needs(arguments.seed.has_value(), "--calibration-seed");
  needs(arguments.damp_percent.has_value(), "--damp-percent");
  needs(arguments.desc_act, "--desc-act");
  needs(arguments.static_groups, "--static-groups");
  needs(arguments.parity, "--parity");
  needs(!arguments.memory.empty(), "--calibration-memory");
}

CalibrationOptions calibration_options(const CalibrationArguments& arguments,
                                       const CommonOptions& common) {
  CalibrationOptions options;
  options.texts = arguments.texts;
  options.samples = arguments.samples.value_or(options.samples);
  options.seqlen = arguments.seqlen;
  if (!arguments.convention.empty()) {
    options.convention = parse_calibration_convention(arguments.convention);
  }
  options.seed = arguments.seed;
  options.parity = arguments.parity;
  options.backend = common.device;
  return options;
}

int64_t calibration_memory(const CalibrationArguments& arguments) {
  if (arguments.memory.empty()) return std::numeric_limits<int64_t>::max();
  return parse_size("--calibration-memory", arguments.memory);
}

namespace {

// A method fills in the same columns for every module.
Table table_of(const std::vector<CalibratedModule>& modules) {
  const bool gptq = modules.front().damp_percent.has_value();
  Table table(
      gptq ? std::vector<Table::Column>{{"module"}, {"mean squared error", true}, {"damping", true}}
           : std::vector<Table::Column>{{"module"},
                                        {"mean squared error", true},
                                        {"rounded to nearest", true},
                                        {"ratio", true}});
  for (const CalibratedModule& module : modules) {
    std::vector<std::string> cells = {module.name, fmt::format("{:.3e}", module.loss)};
    if (gptq) {
      cells.push_back(fmt::format("{:.3g}", *module.damp_percent));
    } else {
      cells.push_back(fmt::format("{:.3e}", *module.rounded_loss));
      cells.push_back(fmt::format("{:.2f}", *module.ratio));
    }
    table.add(cells);
  }
  return table;
}

}  // namespace

void warn_of_plain(const ModelCalibration& calibration) {
  const std::vector<std::string>& plain = calibration.plain();
  if (plain.empty()) return;
  warn(fmt::format("{} of {} modules stay plain: their sizes do not fill words of 32 bits ({})",
                   plain.size(), plain.size() + calibration.modules().size(), plain.front()));
}

void report_calibration(const std::vector<CalibratedModule>& modules, const CommonOptions& common) {
  if (common.json) return;
  std::istringstream lines(table_of(modules).text());
  for (std::string line; std::getline(lines, line);) note(line, common.quiet);
}

nlohmann::ordered_json calibration_json(const std::vector<CalibratedModule>& calibrated,
                                        const std::vector<std::string>& plain) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  for (const CalibratedModule& module : calibrated) {
    modules.push_back(to_json(module));
  }
  return {{"modules", modules}, {"plain", plain}};
}

}  // namespace nibble::cli
