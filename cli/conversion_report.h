// SPDX-License-Identifier: Apache-2.0
//
// What quantize, dequantize and convert say at the end.
#pragma once

#include <string>
#include <string_view>

#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

// One line on stdout, or the JSON document. `done`: "quantized".
void print_report(std::string_view done, const std::string& destination,
                  const ConversionReport& report, const CommonOptions& common);

}  // namespace nibble::cli
