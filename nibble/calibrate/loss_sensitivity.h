// SPDX-License-Identifier: Apache-2.0
//
// What an error in one module costs the whole model, measured: squared errors of outputs say
// nothing across modules, whose outputs differ in size and in what becomes of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/base/thread_pool.h"
#include "nibble/models/model.h"
#include "nibble/quant/weight_error.h"

namespace nibble {

struct LossSensitivityOptions {
  int64_t sequences = 8, tokens = 64;  // as many at most, each cut to as many tokens
  Progress* progress = nullptr;
};

// `squares` times a factor for each module, by which weight_error() becomes the divergence of the
// model's predictions that the error causes, in nats a token, as long as it grows with the square
// of errors: found with each module by itself rounded to 3 bits in groups of 64. The model runs
// from each module on to its end; its weights are as before then. Bytes do not depend on the number
// of threads.
InputSquares weigh_by_loss(Model& model, Backend& backend, ThreadPool& pool,
                           std::span<const std::vector<int32_t>> sequences,
                           const InputSquares& squares, const LossSensitivityOptions& options);

}  // namespace nibble
