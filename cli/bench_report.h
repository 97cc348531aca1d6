// SPDX-License-Identifier: Apache-2.0
//
// What `bench` prints: one row per scheme and case, as a table for the terminal, as Markdown, or as
// JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

struct BenchRow {
  std::string scheme;
  SpeedCase speed_case;
  SpeedFigures figures;
  // The most that the process held while the case ran with no other model loaded; absent: unknown.
  std::optional<int64_t> peak_resident_bytes;
  double first_load_seconds = 0, second_load_seconds = 0;  // of the scheme, to the first token
  int64_t model_bytes = 0;                                 // all that stays in memory or mapped
};

struct BenchReport {
  std::string model, backend;
  int threads = 0;
  int64_t warmup = 0, repeats = 0, patience = 0;
  double slow_below = 0;       // see SpeedSampling
  DeviceLimits best;           // of all probes
  std::vector<BenchRow> rows;  // all schemes of a case, then those of the next
};

std::string bench_text(const BenchReport& report, bool markdown);
nlohmann::ordered_json bench_json(const BenchReport& report);

}  // namespace nibble::cli
