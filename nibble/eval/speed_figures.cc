// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/speed_figures.h"

#include <algorithm>
#include <vector>

namespace nibble {
namespace {

// The median over samples of `figure`.
template <typename Figure>
double median_of(std::span<const SpeedSample> samples, const Figure& figure) {
  std::vector<double> values;
  for (const SpeedSample& sample : samples) values.push_back(figure(sample));
  return median(std::move(values));
}

double bandwidth_around(const SpeedSample& sample) {
  return (sample.before.read_bytes_per_second + sample.after.read_bytes_per_second) / 2;
}

double multiply_adds_around(const SpeedSample& sample) {
  return (sample.before.multiply_adds_per_second + sample.after.multiply_adds_per_second) / 2;
}

void add_decoding(const SpeedCase& speed_case, const LinearCosts& costs,
                  std::span<const SpeedSample> samples, SpeedFigures& figures) {
  const auto batch = static_cast<double>(speed_case.batch);
  const auto passes = static_cast<double>(speed_case.decode_passes());
  const auto bytes = static_cast<double>(costs.bytes);
  figures.seconds_per_pass =
      median_of(samples, [&](const SpeedSample& s) { return s.times.decode_seconds / passes; });
  figures.decode_tokens_per_second = median_of(
      samples, [&](const SpeedSample& s) { return batch * passes / s.times.decode_seconds; });
  figures.tokens_per_second = median_of(samples, [&](const SpeedSample& s) {
    return batch * (passes + 1) / (s.times.prefill_seconds + s.times.decode_seconds);
  });
  if (!speed_case.use_cache) return;
  figures.weight_bytes_per_token = bytes / batch;
  figures.decode_of_bandwidth = median_of(samples, [&](const SpeedSample& s) {
    return bytes * passes / s.times.decode_seconds / bandwidth_around(s);
  });
}

}  // namespace

SpeedFigures speed_figures(const SpeedCase& speed_case, const LinearCosts& costs,
                           std::span<const SpeedSample> samples, int64_t repeats) {
  const std::vector<SpeedSample> counted = samples_that_count(samples, repeats);
  SpeedFigures figures;
  figures.samples = static_cast<int64_t>(samples.size());
  figures.slow_samples = std::ranges::count(samples, true, &SpeedSample::slow);
  figures.counted_samples = static_cast<int64_t>(counted.size());
  figures.slow = std::ranges::count(counted, true, &SpeedSample::slow) > 0;

  const auto tokens = static_cast<double>(speed_case.batch * speed_case.prompt);
  figures.prefill_tokens_per_second =
      median_of(counted, [&](const SpeedSample& s) { return tokens / s.times.prefill_seconds; });
  figures.prefill_of_peak = median_of(counted, [&](const SpeedSample& s) {
    const double multiply_adds =
        tokens * static_cast<double>(costs.body_weights) +
        static_cast<double>(s.times.prefill_head_rows) * static_cast<double>(costs.head_weights);
    return multiply_adds / s.times.prefill_seconds / multiply_adds_around(s);
  });
  if (speed_case.decode_passes() > 0) add_decoding(speed_case, costs, counted, figures);
  return figures;
}

}  // namespace nibble
