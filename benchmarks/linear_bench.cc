// SPDX-License-Identifier: Apache-2.0
//
// Linear layers of SmolLM2-135M (width 576) and of a 1.1B Llama (width 2048) in every form, for one
// token (decode), a few (batches), and 512 (prefill). Counters: B/s of weight read, FLOP/s, and
// both as a share of what this machine was measured to do just before (of_read, of_fma). The calls
// go round-robin over copies of a weight that together exceed any cache, as the layers of a model
// do.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "nibble/backend/registry.h"
#include "nibble/base/random.h"

namespace nibble::bench {
namespace {

constexpr int64_t kCopyBytes = 192 << 20;

Tensor random_floats(Random& random, Shape shape) {
  Tensor tensor = Tensor::empty(DType::kF32, std::move(shape));
  for (float& value : tensor.mutable_data<float>()) value = static_cast<float>(random.uniform());
  return tensor;
}

Tensor random_bytes(Random& random, DType dtype, Shape shape) {
  Tensor tensor = Tensor::empty(dtype, std::move(shape));
  auto* bytes = static_cast<unsigned char*>(tensor.raw());
  for (int64_t i = 0; i < tensor.nbytes(); ++i)
    bytes[i] = static_cast<unsigned char>(random.next());
  return tensor;
}

Tensor rounded_to_fp16(const Tensor& tensor) {
  return to_dtype(to_dtype(tensor, DType::kF16), DType::kF32);
}

Tensor copy_of(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.dtype(), tensor.shape());
  std::memcpy(copy.raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes()));
  return copy;
}

struct Form {
  const char* name;
  std::function<Weight(Random&, int64_t rows, int64_t cols)> make;
};

Weight dense(Random& random, int64_t rows, int64_t cols, DType dtype) {
  return Weight::dense(to_dtype(random_floats(random, {rows, cols}), dtype));
}

Weight int8_row(Random& random, int64_t rows, int64_t cols, ActivationMode mode) {
  return Weight::int8_row(
      {random_bytes(random, DType::kI8, {rows, cols}), random_floats(random, {rows})}, DType::kF16,
      mode);
}

Weight nf4(Random& random, int64_t rows, int64_t cols, bool nested) {
  CodeBlock packed;
  packed.codes = random_bytes(random, DType::kU8, {rows * cols / 2});
  const auto& codebook = codebook_of(QuantType::kNf4);
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.absmax = random_floats(random, {block_count(rows * cols, packed.block_size)});
  if (!nested) packed.absmax = rounded_to_fp16(packed.absmax);  // as of a float16 weight
  if (nested) {
    packed.nested = encode_nested_absmax(packed.absmax.data<float>());
    packed.absmax = Tensor();
  }
  return Weight::code_block(packed, rows, cols, DType::kBF16);
}

Weight float8(Random& random, int64_t rows, int64_t cols) {
  constexpr int64_t kBlock = 128;  // as published checkpoints have it
  Float8Block packed;
  packed.codes = random_bytes(random, DType::kF8E4M3, {rows, cols});
  packed.scales = random_floats(random, {block_count(rows, kBlock), block_count(cols, kBlock)});
  packed.block_rows = packed.block_cols = kBlock;
  return Weight::float8_block(packed, DType::kBF16);
}

// As GPTQ and AWQ have it: 4 bits, groups of 128.
Weight affine(Random& random, int64_t rows, int64_t cols, bool act_order) {
  AffineGroup packed;
  packed.group_size = 128;
  packed.codes = random_bytes(random, DType::kU8, {rows, affine_row_bytes(cols, packed.bits)});
  packed.scales =
      rounded_to_fp16(random_floats(random, {rows, block_count(cols, packed.group_size)}));
  packed.zeros = rounded_to_fp16(random_floats(random, packed.scales.shape()));
  if (act_order) {
    packed.positions = Tensor::empty(DType::kI32, {cols});
    const auto at = packed.positions.mutable_data<int32_t>();
    for (size_t c = 0; c < at.size(); ++c) at[c] = static_cast<int32_t>(at.size() - 1 - c);
  }
  return Weight::affine_group(packed, cols, DType::kBF16);
}

// The same weight in other memory.
Weight copy_of(const Weight& weight) {
  switch (weight.layout()) {
    case Layout::kDense:
      return Weight::dense(copy_of(weight.as_dense().values));
    case Layout::kInt8Row: {
      const Int8Row& packed = weight.as_int8_row();
      return Weight::int8_row({copy_of(packed.codes), copy_of(packed.absmax)}, weight.dtype(),
                              weight.activation_mode(), weight.llm_int8_threshold());
    }
    case Layout::kAffineGroup: {
      AffineGroup packed = weight.as_affine_group();
      packed.codes = copy_of(packed.codes);
      packed.scales = copy_of(packed.scales);
      packed.zeros = copy_of(packed.zeros);
      return Weight::affine_group(packed, weight.cols(), weight.dtype())
          .with_activation_mode(weight.activation_mode());
    }
    case Layout::kFloat8Block: {
      Float8Block packed = weight.as_float8_block();
      packed.codes = copy_of(packed.codes);
      packed.scales = copy_of(packed.scales);
      return Weight::float8_block(packed, weight.dtype());
    }
    case Layout::kCodeBlock:
      break;
  }
  CodeBlock packed = weight.as_code_block();
  packed.codes = copy_of(packed.codes);
  if (packed.nested) {
    packed.nested->codes = copy_of(packed.nested->codes);
  } else {
    packed.absmax = copy_of(packed.absmax);
  }
  return Weight::code_block(packed, weight.rows(), weight.cols(), weight.dtype())
      .with_activation_mode(weight.activation_mode());
}

void run_linear(benchmark::State& state, Backend& backend, const DeviceLimits& limits,
                const Form& form, int64_t rows, int64_t cols, int64_t tokens) {
  Random random(1);
  std::vector<std::shared_ptr<const PreparedWeight>> weights;
  weights.push_back(backend.prepare(form.make(random, rows, cols)));
  const int64_t bytes = weights[0]->weight().total_bytes();
  const int64_t copies = tokens > 16 ? 1 : kCopyBytes / bytes + 1;
  while (static_cast<int64_t>(weights.size()) < copies) {
    weights.push_back(backend.prepare(copy_of(weights[0]->weight())));
  }
  const Tensor x = random_floats(random, {tokens, cols});
  const Tensor no_bias;
  Tensor y = Tensor::empty(DType::kF32, {tokens, rows});
  Stream stream;
  size_t next = 0;
  for (auto _ : state) {
    const LinearPart part{*weights[next], no_bias, y};
    backend.linear(stream, x, {&part, 1});
    next = (next + 1) % weights.size();
  }
  const double calls = static_cast<double>(state.iterations());
  const double flops = calls * 2.0 * static_cast<double>(tokens * rows * cols);
  const double read = calls * static_cast<double>(bytes);
  using benchmark::Counter;
  state.counters["B/s"] = Counter(read, Counter::kIsRate);
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsRate);
  state.counters["of_read"] = Counter(read / limits.read_bytes_per_second, Counter::kIsRate);
  state.counters["of_fma"] =
      Counter(flops / (2 * limits.multiply_adds_per_second), Counter::kIsRate);
}

void register_all(const std::shared_ptr<Backend>& backend, const DeviceLimits& limits) {
  const Form forms[] = {
      {"f32", [](auto& random, auto r, auto c) { return dense(random, r, c, DType::kF32); }},
      {"f16", [](auto& random, auto r, auto c) { return dense(random, r, c, DType::kF16); }},
      {"bf16", [](auto& random, auto r, auto c) { return dense(random, r, c, DType::kBF16); }},
      {"int8",
       [](auto& random, auto r, auto c) { return int8_row(random, r, c, ActivationMode::kFloat); }},
      {"llm_int8",
       [](auto& random, auto r, auto c) { return int8_row(random, r, c, ActivationMode::kInt8); }},
      {"nf4", [](auto& random, auto r, auto c) { return nf4(random, r, c, false); }},
      {"nf4_nested", [](auto& random, auto r, auto c) { return nf4(random, r, c, true); }},
      {"nf4_int8_x",
       [](auto& random, auto r, auto c) {
         return nf4(random, r, c, false).with_activation_mode(ActivationMode::kInt8);
       }},
      {"float8", [](auto& random, auto r, auto c) { return float8(random, r, c); }},
      {"affine", [](auto& random, auto r, auto c) { return affine(random, r, c, false); }},
      {"affine_act_order", [](auto& random, auto r, auto c) { return affine(random, r, c, true); }},
      {"affine_int8_x",
       [](auto& random, auto r, auto c) {
         return affine(random, r, c, false).with_activation_mode(ActivationMode::kInt8);
       }},
  };
  const int64_t shapes[][2] = {{576, 576},   {1536, 576},  {576, 1536},  {49152, 576},
                               {2048, 2048}, {5632, 2048}, {2048, 5632}, {256, 2048}};
  for (const int64_t tokens : {1, 2, 4, 8, 16, 512}) {
    for (const auto& shape : shapes) {
      for (const Form& form : forms) {
        const int64_t rows = shape[0], cols = shape[1];
        if (tokens == 512 && rows == 49152) continue;  // prefill needs the head for one token only
        benchmark::RegisterBenchmark(
            fmt::format("{}/{}x{}/tokens:{}", form.name, rows, cols, tokens).c_str(),
            [=](benchmark::State& state) {
              run_linear(state, *backend, limits, form, rows, cols, tokens);
            })
            ->Unit(benchmark::kMicrosecond)
            ->UseRealTime();
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
