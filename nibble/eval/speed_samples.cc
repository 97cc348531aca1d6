// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/speed_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

class TurnTaker {
 public:
  TurnTaker(std::span<const std::function<SpeedTimes()>> subjects, const SpeedSampling& sampling)
      : subjects_(subjects), sampling_(sampling) {
    samples_.of.resize(subjects.size());
  }

  void sample(size_t subject);
  void mark_slow();
  // The subjects that lack samples that are not slow.
  std::vector<size_t> unfinished() const;
  SpeedSamples take() { return std::move(samples_); }

 private:
  DeviceLimits probe();

  std::span<const std::function<SpeedTimes()>> subjects_;
  const SpeedSampling& sampling_;
  SpeedSamples samples_;
  DeviceLimits last_;
  bool probed_ = false;
};

DeviceLimits TurnTaker::probe() {
  last_ = sampling_.probe();
  probed_ = true;
  DeviceLimits& best = samples_.best;
  best.read_bytes_per_second = std::max(best.read_bytes_per_second, last_.read_bytes_per_second);
  best.multiply_adds_per_second =
      std::max(best.multiply_adds_per_second, last_.multiply_adds_per_second);
  return last_;
}

void TurnTaker::sample(size_t subject) {
  SpeedSample sample;
  sample.before = probed_ ? last_ : probe();  // what ended the sample before begins this one
  sample.times = subjects_[subject]();
  sample.after = probe();
  samples_.of[subject].push_back(sample);
  if (sampling_.progress) sampling_.progress->advance(1, {});
}

// All of them each time, because the best only becomes known on the way.
void TurnTaker::mark_slow() {
  const double least = sampling_.slow_below * samples_.best.multiply_adds_per_second;
  for (std::vector<SpeedSample>& own : samples_.of) {
    for (SpeedSample& sample : own) sample.slow = sample.peak() < least;
  }
}

std::vector<size_t> TurnTaker::unfinished() const {
  std::vector<size_t> subjects;
  for (size_t i = 0; i < samples_.of.size(); ++i) {
    if (std::ranges::count(samples_.of[i], false, &SpeedSample::slow) < sampling_.repeats) {
      subjects.push_back(i);
    }
  }
  return subjects;
}

void check_sampling(const SpeedSampling& sampling) {
  const auto bad = [](const char* what, const char* expected, double got) {
    return Error(fmt::format("bad {}", what)).expected(expected).got(fmt::format("{}", got));
  };
  if (sampling.repeats < 1) {
    throw bad("number of rounds", "at least 1", static_cast<double>(sampling.repeats));
  }
  if (sampling.patience < 0) {
    throw bad("number of extra rounds", "at least 0", static_cast<double>(sampling.patience));
  }
  if (!(sampling.slow_below >= 0 && sampling.slow_below < 1)) {
    throw bad("share of the peak", "0 or more, below 1", sampling.slow_below);
  }
}

}  // namespace

double SpeedSample::peak() const {
  return std::min(before.multiply_adds_per_second, after.multiply_adds_per_second);
}

SpeedSamples sample_in_turn(std::span<const std::function<SpeedTimes()>> subjects,
                            const SpeedSampling& sampling) {
  check_sampling(sampling);
  TurnTaker turns(subjects, sampling);
  const auto begin = [&](const char* what, size_t samples) {
    if (sampling.progress) sampling.progress->begin(what, static_cast<int64_t>(samples));
  };
  begin("measuring", subjects.size() * static_cast<size_t>(sampling.repeats));
  for (int64_t round = 0; round < sampling.repeats; ++round) {
    for (size_t i = 0; i < subjects.size(); ++i) turns.sample(i);
  }
  turns.mark_slow();
  for (int64_t round = 0; round < sampling.patience; ++round) {
    const std::vector<size_t> again = turns.unfinished();
    if (again.empty()) break;
    begin("measuring again (the machine was slow)", again.size());
    for (const size_t i : again) turns.sample(i);
    turns.mark_slow();
  }
  if (sampling.progress) sampling.progress->end();
  return turns.take();
}

std::vector<SpeedSample> samples_that_count(std::span<const SpeedSample> samples, int64_t repeats) {
  std::vector<SpeedSample> fast;
  for (const SpeedSample& sample : samples) {
    if (!sample.slow) fast.push_back(sample);
  }
  if (!fast.empty() && 2 * static_cast<int64_t>(fast.size()) >= repeats) return fast;
  return {samples.begin(), samples.end()};
}

double median(std::vector<double> values) {
  if (values.empty()) throw Error("a median of nothing");
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace nibble
