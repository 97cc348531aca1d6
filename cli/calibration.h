// SPDX-License-Identifier: Apache-2.0
//
// What `nibble quantize` says of a calibration: its options, and a table of what it left of errors.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

struct CalibrationArguments {
  std::string texts;  // empty: no calibration
  std::optional<int64_t> samples, seqlen;
  std::optional<double> damp_percent;
  bool desc_act = false, static_groups = false, parity = false;
};

void add_calibration_options(CLI::App& command, CalibrationArguments& arguments);

// Throws UsageError for options that need --calibration where it is not given.
void require_calibration(const CalibrationArguments& arguments);

CalibrationOptions calibration_options(const CalibrationArguments& arguments,
                                       const CommonOptions& common);

// Warns of modules that stay plain; the table goes to stderr unless --quiet or --json.
void report_calibration(const CalibratedModel& calibrated, const CommonOptions& common);

// The same for the JSON document.
nlohmann::ordered_json calibration_json(const CalibratedModel& calibrated);

}  // namespace nibble::cli
