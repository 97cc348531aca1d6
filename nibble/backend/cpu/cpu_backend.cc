// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "nibble/backend/cpu/buffer_cache.h"
#include "nibble/backend/cpu/kernels.h"
#include "nibble/backend/cpu/linear.h"
#include "nibble/backend/cpu/target.h"

namespace nibble {
namespace {

const float* floats(const Tensor& tensor) { return tensor.data<float>().data(); }
float* floats(Tensor& tensor) { return tensor.mutable_data<float>().data(); }

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(std::shared_ptr<ThreadPool> pool) : pool_(std::move(pool)) {}

  std::string_view name() const override { return "cpu"; }
  Device device() const override { return {}; }
  std::shared_ptr<Buffer> allocate(size_t bytes) override { return buffers_.allocate(bytes); }
  // Narrow scales are worth their copy: the kernels of one token wait for bytes.
  std::shared_ptr<const PreparedWeight> prepare(Weight weight) override {
    return std::make_shared<PreparedWeight>(weight.with_narrow_scales());
  }
  DeviceLimits measure_limits() override { return cpu::measure_limits(*pool_); }

  void linear(Stream&, const Tensor& x, std::span<const LinearPart> parts) override {
    std::vector<cpu::LinearOutput> outputs;
    for (const LinearPart& part : parts) {
      outputs.push_back({.weight = &part.weight.weight(),
                         .bias = part.bias.defined() ? floats(part.bias) : nullptr,
                         .y = floats(part.y)});
    }
    cpu::linear(*pool_, buffers_, floats(x), x.dim(0), outputs);
  }

  void embedding(Stream&, const PreparedWeight& table, const Tensor& ids, Tensor& y) override {
    cpu::embedding(*pool_, table.weight(), ids.data<int32_t>().data(), ids.numel(), floats(y));
  }

  void rms_norm(Stream&, const Tensor& x, const Tensor& weight, float eps, Tensor& y) override {
    const int64_t width = x.dim(-1);
    if (width == 0) return;
    cpu::rms_norm(*pool_, floats(x), x.numel() / width, width, floats(weight), eps, floats(y));
  }

  void add_rms_norm(Stream&, const Tensor& a, const Tensor& b, const Tensor& weight, float eps,
                    Tensor& sum, Tensor& y) override {
    const int64_t width = a.dim(-1);
    if (width == 0) return;
    cpu::add_rms_norm(*pool_, floats(a), floats(b), a.numel() / width, width, floats(weight), eps,
                      floats(sum), floats(y));
  }

  void rope(Stream&, std::span<const RopePart> parts, const RopeAngles& angles,
            float eps) override {
    if (parts.empty()) return;
    std::vector<cpu::RopeArgs::Part> of_kernel;
    for (const RopePart& part : parts) {
      of_kernel.push_back(
          {.x = floats(part.x),
           .heads = part.x.dim(1),
           .norm_weight = part.norm_weight.defined() ? floats(part.norm_weight) : nullptr,
           .y = floats(part.y)});
    }
    cpu::rope(*pool_, {.parts = of_kernel,
                       .tokens = parts.front().x.dim(0),
                       .head_dim = parts.front().x.dim(2),
                       .positions = angles.positions.data<int32_t>().data(),
                       .inv_freq = floats(angles.inv_freq),
                       .half_dim = angles.inv_freq.numel(),
                       .scaling = angles.attention_scaling,
                       .norm_eps = eps});
  }

  void append_to_cache(Stream&, const Tensor& x, int64_t begin, int64_t count, CacheRows& cache,
                       int64_t at) override {
    const int64_t kv_heads = x.dim(1), head_dim = x.dim(2);
    const float* from = floats(x) + begin * kv_heads * head_dim;
    for_each_head(kv_heads, count * head_dim, [&](int64_t head) {
      for (int64_t i = 0; i < count; ++i) {
        encode_cache_row({from + (i * kv_heads + head) * head_dim, static_cast<size_t>(head_dim)},
                         cache, head, at + i);
      }
    });
  }

  void copy_cache(Stream&, const CacheRows& from, int64_t count, CacheRows& to) override {
    for_each_head(from.kv_heads(), count * from.head_dim(),
                  [&](int64_t head) { copy_cache_rows(from, head, count, to); });
  }

  void attention(Stream&, const AttentionArgs& args, Tensor& y) override {
    cpu::attention(*pool_, args, floats(y));
  }

  void silu_mul(Stream&, const Tensor& gate, const Tensor& up, Tensor& y) override {
    cpu::silu_mul(*pool_, floats(gate), floats(up), gate.numel(), floats(y));
  }

  void add(Stream&, const Tensor& a, const Tensor& b, Tensor& y) override {
    cpu::add(*pool_, floats(a), floats(b), a.numel(), floats(y));
  }

  void cross_entropy(Stream&, const Tensor& logits, const Tensor& targets,
                     Tensor& losses) override {
    cpu::cross_entropy(*pool_, floats(logits), logits.dim(0), logits.dim(1),
                       targets.data<int32_t>().data(), floats(losses));
  }

 private:
  template <typename Body>
  void for_each_head(int64_t heads, int64_t elements_per_head, const Body& body) {
    const int64_t grain =
        std::max<int64_t>(1, cpu::kElementGrain / std::max<int64_t>(1, elements_per_head));
    pool_->parallel_for(heads, grain, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) body(head);
    });
  }

  // More than the activations of a block of a small model for a few hundred tokens.
  static constexpr size_t kKeptBytes = 64 << 20;

  std::shared_ptr<ThreadPool> pool_;
  cpu::BufferCache buffers_{kKeptBytes};
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(std::shared_ptr<ThreadPool> pool) {
  if (const char* target = std::getenv("NIBBLE_CPU")) cpu::set_cpu_target(target);
  return std::make_unique<CpuBackend>(std::move(pool));
}

}  // namespace nibble
