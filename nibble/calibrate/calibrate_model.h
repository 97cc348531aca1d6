// SPDX-License-Identifier: Apache-2.0
//
// From a plain model folder and a file of texts to the codes of a method for the model, block by
// block. Weights are mapped, and codes are not kept: memory holds the hidden states of the texts
// and what one block takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/calibrate/calibration.h"
#include "nibble/calibrate/calibration_texts.h"
#include "nibble/models/open_model.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/quant/weight_error.h"

namespace nibble {

struct CalibrationOptions {
  std::filesystem::path texts;  // calibration_sequences() says which files
  int64_t samples = 128;        // sequences at most
  // Tokens of each at most; absent: what the method was published with, GPTQ 2048 and AWQ 512, or
  // the model's context.
  std::optional<int64_t> seqlen;
  CalibrationConvention convention = CalibrationConvention::kAuto;
  std::optional<uint64_t> seed;  // absent: the convention's
  bool parity = false;           // GPTQ only, see GptqSolverOptions
  std::string backend = "cpu";
};

// A calibration that is ready to run.
class ModelCalibration {
 public:
  // Throws Error for a model that is quantized already, texts that are too short, a group size that
  // does not divide the columns of a module or that files do not have, and a model of which nothing
  // can be quantized.
  ModelCalibration(std::filesystem::path folder, const GptqConfig& config,
                   CalibrationOptions options, std::shared_ptr<ThreadPool> pool);
  ModelCalibration(std::filesystem::path folder, const AwqConfig& config,
                   CalibrationOptions options, std::shared_ptr<ThreadPool> pool);
  // `method_` knows this.
  ModelCalibration(const ModelCalibration&) = delete;
  ModelCalibration& operator=(const ModelCalibration&) = delete;

  // As asked for, with what it is calibrated on and which modules it is about.
  const QuantizationConfig& config() const { return config_; }
  const std::vector<std::string>& modules() const { return modules_; }  // to quantize, in order
  // Modules whose shape the words of the method's files cannot hold.
  const std::vector<std::string>& plain() const { return plain_; }
  // What the names of the tensors of each block begin with.
  const std::vector<std::string>& blocks() const { return blocks_; }

  // Opens the model, and gives `sink` the codes of block by block. Returns what is said of modules,
  // those of blocks that an earlier process has done included. Throws Error as calibrate_gptq() and
  // calibrate_awq() do.
  std::vector<CalibratedModule> run(const CalibrationWork& work, const CalibrationSink& sink,
                                    Progress* progress = nullptr);

 private:
  struct Method;
  void prepare(const Method& method, nlohmann::ordered_json& record);

  std::filesystem::path folder_;
  CalibrationOptions options_;
  std::shared_ptr<ThreadPool> pool_;
  QuantizationConfig config_;
  std::vector<std::string> modules_, plain_, blocks_;
  std::vector<std::vector<int32_t>> sequences_;
  std::function<RtnOptions(const std::string& module, int64_t cols)> grid_;
  std::function<std::vector<CalibratedModule>(OpenedModel& opened, const CalibrationTask& task,
                                              const CalibrationSink& sink)>
      method_;
};

// What errors in each Linear of a plain model cost, by the texts, for plan_precision(): see
// weigh_by_loss(). Keeps the hidden states of all texts in memory.
InputSquares measure_loss_sensitivity(const std::filesystem::path& folder,
                                      const CalibrationOptions& options,
                                      const std::shared_ptr<ThreadPool>& pool,
                                      Progress* progress = nullptr);

}  // namespace nibble
