// SPDX-License-Identifier: Apache-2.0
//
// AWQ over a whole model. Each block runs once, as it was: the searches of a block see its original
// weights and no error of the blocks before it. The second moments of all inputs of a block are in
// memory together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"
#include "nibble/calibrate/calibration.h"
#include "nibble/models/model.h"

namespace nibble {

// Modules that the task does not name are scaled with the others at most. Gives `model` the scales
// and the quantized weights of a block before `sink` has them: it runs as the quantized one does.
// What `sink` does to weights of the block changes nothing here. Throws Error for tokens out of the
// vocabulary and, naming the module, where no scale of the search serves.
std::vector<CalibratedModule> calibrate_awq(Model& model, Backend& backend, ThreadPool& pool,
                                            std::span<const std::vector<int32_t>> sequences,
                                            const CalibrationTask& task,
                                            const CalibrationSink& sink);

}  // namespace nibble
