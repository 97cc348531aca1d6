// SPDX-License-Identifier: Apache-2.0
//
// The limits of this machine with 1, 2, ... threads: reading 1 GiB of memory, and multiply-adds in
// registers.
#include <benchmark/benchmark.h>

#include <vector>

#include "benchmarks/machine_limits.h"

namespace {

void ReadBandwidth(benchmark::State& state) {
  nibble::ThreadPool pool(static_cast<int>(state.range(0)));
  const std::vector<float> values(size_t{256} << 20, 1.0f);  // 1 GiB
  for (auto _ : state) benchmark::DoNotOptimize(nibble::bench::read_all(pool, values));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(values.size() * sizeof(float)));
}

void MultiplyAddPeak(benchmark::State& state) {
  nibble::ThreadPool pool(static_cast<int>(state.range(0)));
  double operations = 0.0;
  for (auto _ : state) operations += nibble::bench::multiply_add(pool, 4 << 20);
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
}

}  // namespace

int main(int argc, char** argv) {
  for (int threads = 1; threads <= nibble::ThreadPool().threads(); threads *= 2) {
    benchmark::RegisterBenchmark("ReadBandwidth/threads", ReadBandwidth)
        ->Arg(threads)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
    benchmark::RegisterBenchmark("MultiplyAddPeak/threads", MultiplyAddPeak)
        ->Arg(threads)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
