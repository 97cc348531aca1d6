// SPDX-License-Identifier: Apache-2.0
//
// Times a model at reading prompts (prefill) and at generating (decode): forward passes over random
// ids from a fixed seed, the same in every run. No tokenizer and no sampler takes part. What a time
// means on a machine that is now fast and now slow is the business of speed_samples.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/models/model.h"

namespace nibble {

// What is timed. Of `generate` new tokens the first comes from the pass over the prompt, so
// decoding takes generate - 1 passes of one token per sequence; 0 and 1: prefill alone.
struct SpeedCase {
  int64_t batch = 1;       // sequences at once
  int64_t prompt = 512;    // tokens of each
  int64_t generate = 128;  // new tokens of each
  bool use_cache = true;   // off: all of a sequence is computed again for each new token

  int64_t decode_passes() const { return generate > 1 ? generate - 1 : 0; }
};

// Throws Error for numbers out of range and for a case that does not fit into the model's context.
void check_speed_case(const SpeedCase& speed_case, const ModelConfig& config);

// What forward passes read and compute in Linear modules, which is nearly all.
struct LinearCosts {
  int64_t bytes = 0;         // of all weights as they are stored: a decoding pass reads them once
  int64_t body_weights = 0;  // elements outside the output head: a multiply-add each per token
  int64_t head_weights = 0;  // the same per token whose logits are computed
};

LinearCosts linear_costs(const Model& model);

struct SpeedTimes {
  double prefill_seconds = 0;
  double decode_seconds = 0;      // 0 without decoding
  int64_t prefill_head_rows = 0;  // tokens of prefill whose logits were computed
};

struct SpeedOptions {
  int64_t prefill_chunk = 512;          // most tokens of one pass, as Scheduler::step() takes them
  std::function<void()> before_pass;    // throwing from it ends the run
  std::function<double()> seconds_now;  // a clock; empty: the steady clock of the system
};

class SpeedRunner {
 public:
  // Model and backend must outlive it.
  SpeedRunner(const Model& model, Backend& backend, SpeedOptions options = {});

  // Runs the case once, behind an empty cache. Throws Error as check_speed_case() does.
  SpeedTimes run(const SpeedCase& speed_case);

  // One pass over one token, which touches every weight. Seconds.
  double touch_weights();

 private:
  struct Sequences;

  void read(Sequences& sequences, int64_t length);
  void forward(Sequences& sequences, const TokenBatch& batch);

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  SpeedOptions options_;
};

}  // namespace nibble
