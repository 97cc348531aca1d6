// SPDX-License-Identifier: Apache-2.0
//
// GPTQ over a whole model: block by block, the inputs of each Linear are collected while the model
// runs, its codes chosen, and what follows sees the outputs of the codes. Hessians exist for one
// input at a time, and no block is kept when the next is begun.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"
#include "nibble/calibrate/calibration.h"
#include "nibble/models/model.h"
#include "nibble/quant/gptq_solver.h"

namespace nibble {

// Modules that the task does not name stay as they are. The grid of `solver` is replaced by that of
// the task. Gives `model` the quantized weights of a block before `sink` has them: it runs as the
// quantized one does. What `sink` does to weights of the block changes nothing here. Throws Error
// for tokens out of the vocabulary and, naming the module, what solve_gptq() refuses.
std::vector<CalibratedModule> calibrate_gptq(Model& model, Backend& backend, ThreadPool& pool,
                                             std::span<const std::vector<int32_t>> sequences,
                                             const CalibrationTask& task,
                                             const GptqSolverOptions& solver,
                                             const CalibrationSink& sink);

}  // namespace nibble
