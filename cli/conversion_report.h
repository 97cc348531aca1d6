// SPDX-License-Identifier: Apache-2.0
//
// What quantize, dequantize and convert say: of unfinished work they meet or leave, and at the end.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

// Runs `job` under a progress bar, then prints its report: one line on stdout, or the JSON
// document, which `details` joins, if they are not null when the job is done. `done`: "quantized".
void run_conversion(std::string_view done, const std::string& destination,
                    const CheckpointWriterOptions& writer, const CommonOptions& common,
                    const std::function<ConversionReport(Progress*)>& job,
                    const nlohmann::ordered_json& details = nullptr);

}  // namespace nibble::cli
