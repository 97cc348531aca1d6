// SPDX-License-Identifier: Apache-2.0
//
// What `nibble quantize` says of a calibration: its options, and a table of what it left of errors.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

struct CalibrationArguments {
  std::string texts;  // empty: no calibration
  std::optional<int64_t> samples, seqlen;
  std::string convention;  // empty: auto
  std::optional<uint64_t> seed;
  std::optional<double> damp_percent;
  bool desc_act = false, static_groups = false, parity = false;
  std::string memory;  // of hidden states; empty: all that there is
};

void add_calibration_options(CLI::App& command, CalibrationArguments& arguments);

// Throws UsageError for options that need --calibration where it is not given.
void require_calibration(const CalibrationArguments& arguments);

CalibrationOptions calibration_options(const CalibrationArguments& arguments,
                                       const CommonOptions& common);

// Bytes of hidden states; throws UsageError.
int64_t calibration_memory(const CalibrationArguments& arguments);

void warn_of_plain(const ModelCalibration& calibration);

// A table on stderr, unless --quiet or --json.
void report_calibration(const std::vector<CalibratedModule>& modules, const CommonOptions& common);

// The same for the JSON document, with the modules that stay plain.
nlohmann::ordered_json calibration_json(const std::vector<CalibratedModule>& calibrated,
                                        const std::vector<std::string>& plain);

}  // namespace nibble::cli
