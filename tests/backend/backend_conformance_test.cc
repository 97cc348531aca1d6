// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the cpu backend other than linear against the reference, on every instruction
// set, over odd shapes.
#include <fmt/format.h>

#include "nibble/backend/cpu/kernels.h"
#include "tests/backend/conformance.h"

namespace nibble::conformance {
namespace {

const Tensor kOne = Tensor::from<float>({1.0f}, {1});

class BackendConformance : public CpuTarget {
 protected:
  // Runs `op` on both backends and once per number of threads: close to the reference within
  // tolerance * magnitude, and the same bits whatever the threads.
  template <typename Op>
  void check(const Shape& shape, const Op& op, const Tensor& magnitude, float tolerance) {
    const auto result = [&](Backend& backend) {
      Tensor y = Tensor::empty(DType::kF32, shape);
      for (float& value : y.mutable_data<float>()) value = NAN;
      op(backend, y);
      return y;
    };
    const Tensor got = result(*cpu_);
    expect_close(got, result(*reference_), magnitude, tolerance);
    for (const int threads : {1, 3, 8}) {
      if (HasFatalFailure()) return;
      expect_same_bits(result(*cpu_backend(threads)), got);
    }
  }
};

TEST_P(BackendConformance, ExpIsAccurate) {
  std::vector<float> x = {0.0f, -0.0f, 88.7f, -87.3f, -90.0f, -103.0f};
  for (float value = -87.0f; value < 88.7f; value += 0.00137f) x.push_back(value);
  std::vector<float> y(x.size());
  cpu::exp_array(x.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(x[i]));
    // Three roundings of the polynomial's last steps; below 2^-126 half a step of the subnormals.
    ASSERT_NEAR(y[i], want, want * 3 * kRounding + 0x1p-150) << x[i];
  }
}

TEST_P(BackendConformance, ExpOfTheExtremes) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {infinity, 1e30f, 89.0f, -infinity, -1e30f, -104.5f, NAN, 0.0f};
  std::vector<float> y(x.size());
  cpu::exp_array(x.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i : {0, 1, 2}) EXPECT_EQ(y[i], infinity);
  for (size_t i : {3, 4, 5}) EXPECT_EQ(y[i], 0.0f);
  EXPECT_TRUE(std::isnan(y[6]));
  EXPECT_EQ(y[7], 1.0f);
}

TEST_P(BackendConformance, RmsNorm) {
  Random random(11);
  for (const int64_t width : {1, 5, 33, 576, 2048}) {
    for (const int64_t rows : {0, 1, 7, 64}) {
      for (const float scale : {1.0f, 1e-4f, 1e4f}) {
        SCOPED_TRACE(fmt::format("[{}, {}] scale {}", rows, width, scale));
        const Tensor x = random_tensor(random, {rows, width}, scale);
        const Tensor weight = random_tensor(random, {width});
        // All squares are positive, so their sum is relatively exact to about the root of the
        // roundings; the root halves that, and three products follow. |y| <= sqrt(width) |weight|.
        Tensor magnitude = Tensor::empty(DType::kF32, {rows, width});
        reference_->rms_norm(stream_, x, weight, 1e-5f, magnitude);
        check(
            {rows, width},
            [&](Backend& backend, Tensor& y) { backend.rms_norm(stream_, x, weight, 1e-5f, y); },
            absolute(magnitude), 16 * kRounding);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(BackendConformance, Rope) {
  Random random(12);
  const int64_t shapes[][4] = {
      {0, 1, 8, 8}, {1, 1, 2, 2}, {3, 2, 10, 6}, {9, 5, 64, 64}, {33, 3, 80, 32}};
  for (const auto& [tokens, heads, head_dim, rotary_dim] : shapes) {
    SCOPED_TRACE(fmt::format("[{}, {}, {}] rotary {}", tokens, heads, head_dim, rotary_dim));
    const Tensor x = random_tensor(random, {tokens, heads, head_dim});
    Tensor positions = Tensor::empty(DType::kI32, {tokens});
    for (int32_t& position : positions.mutable_data<int32_t>()) {
      position = static_cast<int32_t>(random.next() % 200000);
    }
    Tensor inv_freq = Tensor::empty(DType::kF32, {rotary_dim / 2});
    for (int64_t i = 0; i < rotary_dim / 2; ++i) {
      inv_freq.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
    }
    // Cosine, its scaling, two products and a sum are rounded; each term is at most |x| of its
    // pair, here below 5.
    check(
        x.shape(),
        [&](Backend& backend, Tensor& y) {
          backend.rope(stream_, x, positions, inv_freq, 1.25f, y);
        },
        kOne, 30 * kRounding);
    if (HasFatalFailure()) return;
  }
}

TEST_P(BackendConformance, RopeInPlace) {
  Random random(13);
  Tensor x = random_tensor(random, {4, 3, 24});
  const Tensor positions = Tensor::from<int32_t>({0, 1, 2, 100}, {4});
  const Tensor inv_freq = random_tensor(random, {9});
  Tensor y = Tensor::empty(DType::kF32, x.shape());
  cpu_->rope(stream_, x, positions, inv_freq, 1.0f, y);
  cpu_->rope(stream_, x, positions, inv_freq, 1.0f, x);
  expect_same_bits(x, y);
}

TEST_P(BackendConformance, AppendToCache) {
  Random random(14);
  const Tensor x = random_tensor(random, {9, 3, 5});
  for (const auto& backend : {cpu_.get(), reference_.get()}) {
    Tensor cache = Tensor::zeros(DType::kF32, {3, 8, 5});
    backend->append_to_cache(stream_, x, 2, 4, cache, 3);
    const auto from = x.data<float>(), to = cache.data<float>();
    for (size_t head = 0; head < 3; ++head) {
      for (size_t position = 0; position < 8; ++position) {
        for (size_t i = 0; i < 5; ++i) {
          const bool written = position >= 3 && position < 7;
          const float want = written ? from[((position - 1) * 3 + head) * 5 + i] : 0.0f;
          ASSERT_EQ(to[(head * 8 + position) * 5 + i], want);
        }
      }
    }
  }
}

struct AttentionCase {
  int64_t heads, kv_heads, head_dim, sliding_window;
  float spread;                                    // of queries: large ones make the softmax sharp
  std::vector<std::pair<int64_t, int64_t>> spans;  // count, length
};

TEST_P(BackendConformance, Attention) {
  Random random(15);
  const std::vector<AttentionCase> cases = {
      {1, 1, 8, 0, 1.0f, {{1, 1}}},
      {9, 3, 64, 0, 1.0f, {{1, 37}}},
      {9, 3, 64, 0, 1.0f, {{40, 40}}},
      {9, 3, 64, 0, 20.0f, {{5, 200}, {1, 3}, {17, 17}}},
      {4, 4, 80, 0, 1.0f, {{1, 129}, {130, 130}}},
      {8, 1, 128, 0, 1.0f, {{3, 70}, {2, 2}}},
      {32, 1, 7, 0, 1.0f, {{2, 66}}},
      {6, 2, 16, 1, 1.0f, {{4, 90}}},
      {6, 2, 16, 33, 1.0f, {{70, 150}, {1, 20}}},
      {2, 2, 64, 1000, 5.0f, {{100, 100}}},
  };
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(fmt::format("{} heads, {} kv heads of {}, window {}", c.heads, c.kv_heads,
                             c.head_dim, c.sliding_window));
    int64_t tokens = 0;
    std::vector<AttentionSpan> spans;
    for (const auto& [count, length] : c.spans) {
      const int64_t capacity = length + 5;
      // Unused positions hold NaN: nothing beyond the length may be read into a result.
      Tensor keys = random_tensor(random, {c.kv_heads, capacity, c.head_dim});
      Tensor values = random_tensor(random, {c.kv_heads, capacity, c.head_dim});
      for (int64_t head = 0; head < c.kv_heads; ++head) {
        for (int64_t i = length * c.head_dim; i < capacity * c.head_dim; ++i) {
          const auto at = static_cast<size_t>(head * capacity * c.head_dim + i);
          keys.mutable_data<float>()[at] = values.mutable_data<float>()[at] = NAN;
        }
      }
      spans.push_back({tokens, count, length, keys, values});
      tokens += count;
    }
    const Tensor query = random_tensor(random, {tokens, c.heads, c.head_dim}, c.spread);
    const AttentionArgs args{query, spans, 1.0f / std::sqrt(static_cast<float>(c.head_dim)),
                             c.sliding_window};
    // A score of magnitude s has an error of a few roundings of its sum of magnitudes (below
    // 10 * spread), which e^score turns into a relative error of a weight; y is a mean of values
    // below 5.
    check(
        query.shape(), [&](Backend& backend, Tensor& y) { backend.attention(stream_, args, y); },
        kOne, 5 * (30 + 60 * c.spread) * kRounding);
    if (HasFatalFailure()) return;
  }
}

TEST_P(BackendConformance, ElementWise) {
  Random random(16);
  for (const int64_t count : {0, 1, 7, 64, 1000, 70001}) {
    SCOPED_TRACE(count);
    const Tensor a = random_tensor(random, {count}, 10.0f), b = random_tensor(random, {count});
    Tensor product = Tensor::empty(DType::kF32, {count});
    reference_->silu_mul(stream_, a, b, product);
    // exp, a sum, a quotient and a product are rounded.
    check(
        {count}, [&](Backend& backend, Tensor& y) { backend.silu_mul(stream_, a, b, y); },
        absolute(product), 8 * kRounding);
    // One addition: exact.
    check({count}, [&](Backend& backend, Tensor& y) { backend.add(stream_, a, b, y); }, kOne, 0.0f);
    if (HasFatalFailure()) return;
  }
  const Tensor gate = Tensor::from<float>({-1e30f, -200.0f, 0.0f, 200.0f, 1e30f}, {5});
  const Tensor ones = Tensor::from<float>({1, 1, 1, 1, 1}, {5});
  Tensor y = Tensor::empty(DType::kF32, {5});
  cpu_->silu_mul(stream_, gate, ones, y);
  const float want[] = {0.0f, 0.0f, 0.0f, 200.0f, 1e30f};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(y.data<float>()[i], want[i]);
}

TEST_P(BackendConformance, CrossEntropy) {
  Random random(17);
  for (const int64_t vocab : {1, 3, 17, 1000, 49152}) {
    for (const int64_t tokens : {0, 1, 5}) {
      for (const float scale : {0.01f, 3.0f, 300.0f}) {
        SCOPED_TRACE(fmt::format("[{}, {}] scale {}", tokens, vocab, scale));
        const Tensor logits = random_tensor(random, {tokens, vocab}, scale);
        Tensor targets = Tensor::empty(DType::kI32, {tokens});
        for (int32_t& target : targets.mutable_data<int32_t>()) {
          target = static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocab));
        }
        Tensor want = Tensor::empty(DType::kF32, {tokens});
        reference_->cross_entropy(stream_, logits, targets, want);
        // Perplexity is e^mean(loss): a loss must hold to a few 1e-7 absolutely, and one more
        // rounding when it becomes a float.
        Tensor magnitude = absolute(want);
        for (float& value : magnitude.mutable_data<float>()) value = value + 3.0f;
        check(
            {tokens},
            [&](Backend& backend, Tensor& y) {
              backend.cross_entropy(stream_, logits, targets, y);
            },
            magnitude, 1.5f * kRounding);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, BackendConformance, testing::ValuesIn(cpu::available_targets()),
                         [](const auto& target) { return target.param; });

}  // namespace
}  // namespace nibble::conformance
