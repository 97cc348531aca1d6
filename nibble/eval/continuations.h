// SPDX-License-Identifier: Apache-2.0
//
// How likely a model finds given continuations of given contexts, which is what multiple choice
// asks of it. What requests begin with alike is computed once: the examples before all questions,
// the context before the choices of one. Logits are computed for the tokens that are scored alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/models/model.h"

namespace nibble {

struct Continuation {
  std::vector<int32_t> context, ids;  // neither empty
};

struct ContinuationScore {
  double log_likelihood = 0;  // of all ids of the continuation, in nats
  bool greedy = true;         // each of them is the most likely token where it stands
};

// Throws Error for a continuation longer than the model's context and for ids out of the
// vocabulary.
void check_continuation(const Continuation& continuation, const ModelConfig& config);

using ContinuationGroup = std::vector<Continuation>;

// Scores every continuation of every group, those of one group side by side. What is longer than
// the model's context is cut from the left. `done` is called with the number of groups that were
// finished, after each pass; throwing from it ends the work. Throws Error as check_continuation().
std::vector<std::vector<ContinuationScore>> score_continuations(
    const Model& model, Backend& backend, const std::vector<ContinuationGroup>& groups,
    const std::function<void(int64_t groups)>& done = {});

}  // namespace nibble
