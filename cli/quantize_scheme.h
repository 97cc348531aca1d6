// SPDX-License-Identifier: Apache-2.0
//
// From the options of `nibble quantize` to a scheme with its config.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/budget.h"
#include "cli/calibration.h"
#include "cli/options.h"
#include "nibble/nibble.h"

namespace nibble::cli {

struct QuantizeOptions {
  std::string source, destination, scheme;
  bool double_quant = false;
  std::optional<int64_t> block_size;
  std::optional<float> threshold;
  std::optional<std::vector<std::string>> skip_modules;
  std::string compute_dtype, quant_storage;
  std::optional<int64_t> bits, group_size;
  std::optional<bool> sym;
  std::string format;
  CalibrationArguments calibration;
  BudgetArguments budget;
  OutputOptions output;
  CommonOptions common;
};

// Throws UsageError for a scheme that does not exist, for options that do not go with it, and for
// what its config cannot be.
std::unique_ptr<Scheme> scheme_of(const QuantizeOptions& options);

// Of the schemes that can be calibrated. Throw Error as the readers of configs do.
GptqConfig gptq_config(const QuantizeOptions& options);
AwqConfig awq_config(const QuantizeOptions& options);

}  // namespace nibble::cli
