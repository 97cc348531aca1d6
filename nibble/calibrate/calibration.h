// SPDX-License-Identifier: Apache-2.0
//
// What calibration gives, whatever the method: codes of a model, and what they leave of errors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nibble/format/weight.h"
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

struct Calibration {
  std::map<std::string, Weight> weights;  // by module
  // Plain tensors of the file that the method has changed, by name; in the dtype of the model.
  std::map<std::string, Tensor> tensors;
  std::vector<CalibratedModule> modules;  // in the order of the forward pass
};

}  // namespace nibble
