// SPDX-License-Identifier: Apache-2.0
//
// From a plain model folder and a file of texts to GPTQ's codes for the model: what the command
// does before anything is written. The whole model is in memory meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/calibrate/calibration_texts.h"
#include "nibble/calibrate/gptq_calibration.h"
#include "nibble/quant/gptq_config.h"

namespace nibble {

struct CalibrationOptions {
  std::filesystem::path texts;    // calibration_sequences() says which files
  int64_t samples = 128;          // sequences at most
  std::optional<int64_t> seqlen;  // tokens of each at most; absent: 2048, or the model's context
  bool parity = false;            // see GptqSolverOptions
  std::string backend = "cpu";
};

struct CalibratedModel {
  GptqConfig config;  // as asked for, with what it was calibrated on and which modules it is about
  GptqCalibration calibration;
  std::vector<std::string> plain;  // modules whose shape the words of a GPTQ file cannot hold
};

// Throws Error for a model that is quantized already, texts that are too short, a group size that
// does not divide the columns of a module, and a model of which nothing can be quantized.
CalibratedModel calibrate_model(const std::filesystem::path& folder, const GptqConfig& config,
                                const CalibrationOptions& options,
                                const std::shared_ptr<ThreadPool>& pool,
                                Progress* progress = nullptr);

}  // namespace nibble
