// SPDX-License-Identifier: Apache-2.0
//
// From a plain model folder and a file of texts to the codes of a method for the model: what the
// command does before anything is written. The whole model is in memory meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/calibrate/calibration.h"
#include "nibble/calibrate/calibration_texts.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/quant/weight_error.h"

namespace nibble {

struct CalibrationOptions {
  std::filesystem::path texts;  // calibration_sequences() says which files
  int64_t samples = 128;        // sequences at most
  // Tokens of each at most; absent: what the method was published with, GPTQ 2048 and AWQ 512, or
  // the model's context.
  std::optional<int64_t> seqlen;
  bool parity = false;  // GPTQ only, see GptqSolverOptions
  std::string backend = "cpu";
};

struct CalibratedModel {
  // As asked for, with what it was calibrated on and which modules it is about.
  QuantizationConfig config;
  Calibration calibration;
  std::vector<std::string>
      plain;  // modules whose shape the words of the method's files cannot hold
};

// Throws Error for a model that is quantized already, texts that are too short, a group size that
// does not divide the columns of a module or that files do not have, and a model of which nothing
// can be quantized.
CalibratedModel calibrate_model(const std::filesystem::path& folder, const GptqConfig& config,
                                const CalibrationOptions& options,
                                const std::shared_ptr<ThreadPool>& pool,
                                Progress* progress = nullptr);
CalibratedModel calibrate_model(const std::filesystem::path& folder, const AwqConfig& config,
                                const CalibrationOptions& options,
                                const std::shared_ptr<ThreadPool>& pool,
                                Progress* progress = nullptr);

// What errors in each Linear of a plain model cost, by the texts, for plan_precision(): see
// weigh_by_loss().
InputSquares measure_loss_sensitivity(const std::filesystem::path& folder,
                                      const CalibrationOptions& options,
                                      const std::shared_ptr<ThreadPool>& pool,
                                      Progress* progress = nullptr);

}  // namespace nibble
