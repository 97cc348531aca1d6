// SPDX-License-Identifier: Apache-2.0
//
// Which bits each module of a model is worth under a budget. Every module is quantized in every way
// there is; from the errors and sizes follows what to choose. Memory holds one matrix at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/convert/precision_ways.h"
#include "nibble/convert/quantize_model.h"
#include "nibble/quant/precision_allocation.h"
#include "nibble/quant/weight_error.h"

namespace nibble {

// One of them or both. Bits per weight are those of the quantized modules, with all that the file
// stores for them but biases (as `inspect` counts); bytes those of all tensors of the new model.
struct PrecisionBudget {
  std::optional<double> bits_per_weight;
  std::optional<int64_t> bytes;
};

struct MixedPrecisionOptions {
  // Files of GPTQ with all but the bits as here; absent: files of HQQ.
  std::optional<GptqConfig> gptq;
  // Of HQQ's 2, 3, 4 or 8 bits of a module; absent: 32, 64 or 128, whichever pays.
  std::optional<int64_t> group_size;
  std::optional<std::vector<std::string>> skip_modules;  // of HQQ
  PrecisionBudget budget;
  // Of every module, weighed so that weight_error() of any two compare; or empty: the error of a
  // module is the share of its squares that it loses, which does without texts.
  InputSquares input_squares;
};

struct PlannedModule {
  std::string name;
  int64_t weights = 0;
  // By size, and each of less error than those before: the others are no choice.
  std::vector<PrecisionChoice> choices;
  std::vector<PrecisionWay> ways;  // of the choices
  size_t chosen = 0;

  const PrecisionChoice& choice() const { return choices[chosen]; }
  const PrecisionWay& way() const { return ways[chosen]; }
};

struct PrecisionPlan {
  std::vector<PlannedModule> modules;
  int64_t weights = 0, module_bytes = 0, total_bytes = 0;
  double error = 0;

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(module_bytes) / static_cast<double>(weights);
  }
  std::vector<std::string> plain;        // modules whose shape the packing does not have
  std::shared_ptr<const Scheme> scheme;  // for the config: see scheme_of_ways()

  ModuleSchemes schemes() const;
};

// For quantize_model(). GPTQ's codes are measured rounded to nearest, whether a calibration chooses
// others or not. Throws Error for a budget that cannot be met, for a module whose shape no choice
// has groups for, and what quantize_model() throws.
PrecisionPlan plan_precision(const std::filesystem::path& source,
                             const MixedPrecisionOptions& options, ThreadPool& pool,
                             Progress* progress = nullptr);

}  // namespace nibble
