// SPDX-License-Identifier: Apache-2.0
//
// From the samples of one case to what a table prints: speeds, and the share that they are of what
// the device can do at most. Medians over the samples that count; a share is taken from the probes
// around its own sample.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "nibble/eval/speed_samples.h"

namespace nibble {

struct SpeedFigures {
  double prefill_tokens_per_second = 0;  // of all sequences
  // Multiply-adds of Linear modules, the head's for the tokens that it is computed for, as a share
  // of the float32 peak. Integer kernels may exceed 1.
  double prefill_of_peak = 0;
  // Absent without decoding.
  std::optional<double> decode_tokens_per_second;  // of all sequences
  std::optional<double> seconds_per_pass;          // one new token of every sequence
  // Of the bandwidth: what the Linear weights that a pass reads need. Weights that a cache holds
  // may exceed 1. Absent without a key-value cache, where a pass is bound by multiplying.
  std::optional<double> decode_of_bandwidth;
  std::optional<double> weight_bytes_per_token;  // a pass reads all once, for all of its tokens
  // New tokens of all sequences over the time of prefill and decoding.
  std::optional<double> tokens_per_second;

  int64_t samples = 0, slow_samples = 0, counted_samples = 0;
  bool slow = false;  // slow samples count, for want of others
};

SpeedFigures speed_figures(const SpeedCase& speed_case, const LinearCosts& costs,
                           std::span<const SpeedSample> samples, int64_t repeats);

}  // namespace nibble
