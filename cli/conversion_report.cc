// SPDX-License-Identifier: Apache-2.0
#include "cli/conversion_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/terminal.h"

namespace nibble::cli {

namespace {

void print_report(std::string_view done, const std::string& destination,
                  const ConversionReport& report, const CommonOptions& common,
                  const nlohmann::ordered_json& details) {
  if (common.json) {
    nlohmann::ordered_json document = {{"destination", destination},
                                       {"tensors", report.tensors},
                                       {"modules_converted", report.modules_converted},
                                       {"modules_kept", report.modules_kept},
                                       {"bytes_before", report.bytes_before},
                                       {"bytes_after", report.bytes_after},
                                       {"seconds", report.seconds}};
    if (!report.misfits.empty()) document["misfits"] = report.misfits;
    if (!details.is_null()) document.update(details);
    print_json(document);
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

}  // namespace

void run_conversion(std::string_view done, const std::string& destination,
                    const CheckpointWriterOptions& writer, const CommonOptions& common,
                    const std::function<ConversionReport(Progress*)>& job,
                    const nlohmann::ordered_json& details) {
  if (!writer.resume && has_unfinished_work(destination)) {
    note("starting anew: the unfinished work of an earlier run goes (--resume would continue it)",
         common.quiet);
  }
  ProgressBar progress(common.quiet);
  try {
    print_report(done, destination, job(&progress), common, details);
  } catch (const Interrupted&) {
    progress.end();
    if (has_unfinished_work(destination)) {
      note("what is finished is kept: the same command with --resume continues", common.quiet);
    }
    throw;
  }
}

}  // namespace nibble::cli
