// SPDX-License-Identifier: Apache-2.0
//
// Attention of one layer over caches of every dtype: decode, at several lengths of the context, and
// a pass of 512 tokens that ends there (prefill). Shapes: heads/kv_heads/head_dim of a 1.1B Llama
// (32/4/64), of SmolLM2-135M (9/3/64), of Llama 3 8B (32/8/128) and without groups (16/16/64).
// Counters: B/s of cache read and FLOP/s, and both as a share of what this machine was measured to
// do just before (of_read, of_fma). Decoding goes round-robin over copies of the cache that
// together exceed any cache of the processor, as the layers of a model do.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "nibble/backend/registry.h"
#include "nibble/base/random.h"

namespace nibble::bench {
namespace {

constexpr int64_t kCopyBytes = 192 << 20;

struct AttentionShape {
  int64_t heads, kv_heads, head_dim;
};

Tensor random_rows(Random& random, Shape shape) {
  Tensor tensor = Tensor::empty(DType::kF32, std::move(shape));
  for (float& value : tensor.mutable_data<float>()) value = random.normal();
  return tensor;
}

CacheRows filled_cache(Backend& backend, const Tensor& rows, DType dtype) {
  const int64_t length = rows.dim(0), kv_heads = rows.dim(1);
  CacheRows cache(Tensor::empty(dtype, {kv_heads, length, rows.dim(2)}));
  if (dtype == DType::kI8) cache.scales = Tensor::empty(DType::kF32, {kv_heads, length});
  Stream stream;
  backend.append_to_cache(stream, rows, 0, length, cache, 0);
  return cache;
}

void run_attention(benchmark::State& state, Backend& backend, const DeviceLimits& limits,
                   const AttentionShape& shape, DType dtype, int64_t tokens, int64_t length) {
  Random random(1);
  const Tensor rows = random_rows(random, {length, shape.kv_heads, shape.head_dim});
  const Tensor query = random_rows(random, {tokens, shape.heads, shape.head_dim});
  const int64_t bytes =
      2 * shape.kv_heads * length * cache_row_bytes(dtype, shape.head_dim);  // keys and values
  const int64_t copies = tokens > 1 ? 1 : kCopyBytes / bytes + 1;
  std::vector<AttentionSpan> spans;
  for (int64_t i = 0; i < copies; ++i) {
    spans.push_back({0, tokens, length, filled_cache(backend, rows, dtype),
                     filled_cache(backend, rows, dtype)});
  }
  Tensor y = Tensor::empty(DType::kF32, query.shape());
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  Stream stream;
  size_t next = 0;
  for (auto _ : state) {
    backend.attention(stream, {query, {&spans[next], 1}, scale, 0}, y);
    next = (next + 1) % spans.size();
  }
  const double calls = static_cast<double>(state.iterations());
  // A multiply-add per element of each key and each value that a query sees.
  const double seen = static_cast<double>(tokens) *
                      (static_cast<double>(length) - static_cast<double>(tokens - 1) / 2);
  const double flops = calls * 4 * seen * static_cast<double>(shape.heads * shape.head_dim);
  const double read = calls * static_cast<double>(bytes);
  using benchmark::Counter;
  state.counters["B/s"] = Counter(read, Counter::kIsRate);
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsRate);
  state.counters["of_read"] = Counter(read / limits.read_bytes_per_second, Counter::kIsRate);
  state.counters["of_fma"] =
      Counter(flops / (2 * limits.multiply_adds_per_second), Counter::kIsRate);
}

void register_all(const std::shared_ptr<Backend>& backend, const DeviceLimits& limits) {
  const AttentionShape shapes[] = {{32, 4, 64}, {9, 3, 64}, {32, 8, 128}, {16, 16, 64}};
  for (const int64_t tokens : {1, 512}) {
    for (const AttentionShape& shape : shapes) {
      for (const int64_t length : {512, 1024, 4096, 16384}) {
        if (tokens > 1 && length > 4096) continue;
        for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
          benchmark::RegisterBenchmark(
              fmt::format("{}/{}/{}/{}/{}/context:{}", tokens == 1 ? "decode" : "prefill",
                          shape.heads, shape.kv_heads, shape.head_dim, torch_name(dtype), length)
                  .c_str(),
              [=](benchmark::State& state) {
                run_attention(state, *backend, limits, shape, dtype, tokens, length);
              })
              ->Unit(benchmark::kMicrosecond)
              ->UseRealTime();
        }
      }
    }
  }
}

}  // namespace
}  // namespace nibble::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const auto pool = std::make_shared<nibble::ThreadPool>();
  const std::shared_ptr<nibble::Backend> backend = nibble::make_backend("cpu", pool);
  const nibble::DeviceLimits limits = backend->measure_limits();
  benchmark::AddCustomContext("threads", std::to_string(pool->threads()));
  benchmark::AddCustomContext("read",
                              fmt::format("{:.1f} GB/s", limits.read_bytes_per_second / 1e9));
  benchmark::AddCustomContext(
      "fma", fmt::format("{:.0f} GFLOP/s", 2 * limits.multiply_adds_per_second / 1e9));
  nibble::bench::register_all(backend, limits);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
