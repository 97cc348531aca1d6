// SPDX-License-Identifier: Apache-2.0
#include "cli/conversion_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/output.h"

namespace nibble::cli {

void print_report(std::string_view done, const std::string& destination,
                  const ConversionReport& report, const CommonOptions& common) {
  if (common.json) {
    print_json({{"destination", destination},
                {"tensors", report.tensors},
                {"modules_converted", report.modules_converted},
                {"modules_kept", report.modules_kept},
                {"bytes_before", report.bytes_before},
                {"bytes_after", report.bytes_after},
                {"seconds", report.seconds}});
    return;
  }
  std::string modules;
  if (report.modules_converted + report.modules_kept > 0) {
    modules = fmt::format("{} of {} linear modules, ", report.modules_converted,
                          report.modules_converted + report.modules_kept);
  }
  print(fmt::format("{}: {}{}{} -> {} in {}\n", destination, done,
                    modules.empty() ? " " : " " + modules, format_bytes(report.bytes_before),
                    format_bytes(report.bytes_after), format_seconds(report.seconds)));
}

}  // namespace nibble::cli
