// SPDX-License-Identifier: Apache-2.0
//
// What calibration gives, whatever the method: codes of a model, and what they leave of errors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/progress.h"
#include "nibble/format/weight.h"
#include "nibble/quant/affine_rtn.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct CalibratedModule {
  std::string name;
  double loss = 0;  // mean squared error of an output, over the tokens of the calibration
  int64_t tokens = 0;
  std::optional<double> damp_percent;  // GPTQ: what it took
  std::optional<double> rounded_loss;  // AWQ: the loss of codes rounded to nearest
  std::optional<double> ratio;         // AWQ: that the scales of its inputs were made with
};

// The facts of it under names for users, and back. The second throws Json's exceptions.
nlohmann::ordered_json to_json(const CalibratedModule& module);
CalibratedModule calibrated_module(const nlohmann::ordered_json& json);

// Where a calibration keeps its hidden states.
struct CalibrationWork {
  // For files of its own, from which a job that was ended goes on; empty: none.
  std::filesystem::path folder = {};
  // Blocks before this one are not asked for again; they are done again where the folder does not
  // have what they left.
  int64_t first_block = 0;
  int64_t max_memory = std::numeric_limits<int64_t>::max();  // bytes of hidden states beside files
};

// Of one block.
struct Calibration {
  std::map<std::string, Weight> weights;  // by module
  // Plain tensors of the file that the method has changed, by name; in the dtype of the model.
  std::map<std::string, Tensor> tensors;
  std::vector<CalibratedModule> modules;  // in the order of the forward pass
};

// Takes what calibration gives of a block, before the next block is begun. In a job that goes on it
// may be given blocks again.
using CalibrationSink = std::function<void(int64_t block, Calibration&& calibration)>;

// What every method is told.
struct CalibrationTask {
  std::set<std::string> modules;  // to quantize, by path
  // Of a matrix with so many columns; it knows what a group size of -1 means.
  std::function<RtnOptions(const std::string& module, int64_t cols)> grid;
  CalibrationWork work = {};
  Progress* progress = nullptr;  // counts modules
};

// What `body` throws, with the matrix of the module.
template <typename Body>
void naming_module(const std::string& path, const Body& body) {
  try {
    body();
  } catch (const Interrupted&) {
    throw;
  } catch (Error& error) {
    throw error.tensor(path + ".weight");
  }
}

}  // namespace nibble
