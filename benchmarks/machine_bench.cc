// SPDX-License-Identifier: Apache-2.0
//
// The limits of this machine with 1, 2, ... threads: reading memory that no cache holds, and
// multiply-adds in registers.
#include <benchmark/benchmark.h>

#include <memory>

#include "nibble/backend/registry.h"

namespace {

void MachineLimits(benchmark::State& state) {
  const auto pool = std::make_shared<nibble::ThreadPool>(static_cast<int>(state.range(0)));
  const std::unique_ptr<nibble::Backend> backend = nibble::make_backend("cpu", pool);
  double bytes = 0.0, multiply_adds = 0.0;
  for (auto _ : state) {
    const nibble::DeviceLimits limits = backend->measure_limits();
    bytes += limits.read_bytes_per_second;
    multiply_adds += limits.multiply_adds_per_second;
  }
  using benchmark::Counter;
  state.counters["B/s"] = Counter(bytes, Counter::kAvgIterations);
  state.counters["FLOP/s"] = Counter(2 * multiply_adds, Counter::kAvgIterations);
}

}  // namespace

int main(int argc, char** argv) {
  for (int threads = 1; threads <= nibble::ThreadPool().threads(); threads *= 2) {
    benchmark::RegisterBenchmark("MachineLimits/threads", MachineLimits)
        ->Arg(threads)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
