// SPDX-License-Identifier: Apache-2.0
//
// Fair samples on a machine that others use too, and that is now fast and now slow. Everything that
// is compared is sampled in turn within each round; the device's limits are probed before and after
// each sample; a sample that was taken while the device multiplied much slower than at its best is
// slow, is tried again, and does not count when enough others remain.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/eval/speed.h"

namespace nibble {

struct SpeedSample {
  SpeedTimes times;
  DeviceLimits before, after;
  bool slow = false;  // against the best probe of all rounds

  // Multiply-adds per second of the slower probe.
  double peak() const;
};

struct SpeedSampling {
  int64_t repeats = 5;      // rounds: samples of each
  int64_t patience = 5;     // rounds more, for those that still lack samples that are not slow
  double slow_below = 0.8;  // share of the best multiply-add peak below which the machine is slow
  std::function<DeviceLimits()> probe;
  Progress* progress = nullptr;  // counts samples
};

struct SpeedSamples {
  std::vector<std::vector<SpeedSample>> of;  // in the order of the subjects, then of time
  DeviceLimits best;                         // the best of each limit that any probe saw
};

// Calls each subject once a round, one after the other. Throws Error for numbers out of range.
SpeedSamples sample_in_turn(std::span<const std::function<SpeedTimes()>> subjects,
                            const SpeedSampling& sampling);

// The samples that count: those that are not slow if they are at least half of `repeats`, else all.
std::vector<SpeedSample> samples_that_count(std::span<const SpeedSample> samples, int64_t repeats);

// The middle one, or the mean of the two in the middle. Throws Error when there is none.
double median(std::vector<double> values);

}  // namespace nibble
