// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the cpu backend other than linear and attention against the reference, on every
// instruction set, over odd shapes.
#include <fmt/format.h>

#include "nibble/backend/cpu/kernels.h"
#include "tests/backend/conformance.h"

namespace nibble::conformance {
namespace {

class BackendConformance : public CpuTarget {};

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
          const Tensor no_norm;
          const RopePart part{x, no_norm, y};
          backend.rope(stream_, {&part, 1}, {positions, inv_freq, 1.25f}, 0.0f);
        },
        kOne, 30 * kRounding);
    if (HasFatalFailure()) return;
  }
}

TEST_P(BackendConformance, RopeInPlace) {
  Random random(13);
  Tensor x = random_tensor(random, {4, 3, 24});
  const Tensor positions = Tensor::from<int32_t>({0, 1, 2, 100}, {4});
  const Tensor inv_freq = random_tensor(random, {9}), weight = random_tensor(random, {24}), none;
  for (const Tensor& norm : {none, weight}) {
    Tensor y = Tensor::empty(DType::kF32, x.shape());
    const RopePart out_of_place{x, norm, y}, in_place{x, norm, x};
    cpu_->rope(stream_, {&out_of_place, 1}, {positions, inv_freq}, 1e-5f);
    cpu_->rope(stream_, {&in_place, 1}, {positions, inv_freq}, 1e-5f);
    expect_same_bits(x, y);
  }
}

// What runs together is what runs one after the other, to the last bit.
TEST_P(BackendConformance, RopeOfSeveralPartsWithNorms) {
  Random random(14);
  for (const int64_t head_dim : {2, 10, 64, 128}) {
    for (const int64_t tokens : {1, 5, 40}) {
      SCOPED_TRACE(fmt::format("{} tokens, heads of {}", tokens, head_dim));
      const Tensor q = random_tensor(random, {tokens, 6, head_dim});
      const Tensor k = random_tensor(random, {tokens, 2, head_dim});
      const Tensor weight = random_tensor(random, {head_dim}), none;
      const Tensor inv_freq = random_tensor(random, {head_dim / 2});
      Tensor positions = Tensor::empty(DType::kI32, {tokens});
      for (int32_t& at : positions.mutable_data<int32_t>()) {
        at = static_cast<int32_t>(random.next() % 5000);
      }
      for (Backend* backend : {cpu_.get(), reference_.get()}) {
        Tensor together[] = {Tensor::empty(DType::kF32, q.shape()),
                             Tensor::empty(DType::kF32, k.shape())};
        const RopePart parts[] = {{q, weight, together[0]}, {k, none, together[1]}};
        backend->rope(stream_, parts, {positions, inv_freq, 0.5f}, 1e-3f);
        Tensor normed = Tensor::empty(DType::kF32, q.shape());
        backend->rms_norm(stream_, q, weight, 1e-3f, normed);
        Tensor alone[] = {Tensor::empty(DType::kF32, q.shape()),
                          Tensor::empty(DType::kF32, k.shape())};
        const RopePart first{normed, none, alone[0]}, second{k, none, alone[1]};
        backend->rope(stream_, {&first, 1}, {positions, inv_freq, 0.5f}, 0.0f);
        backend->rope(stream_, {&second, 1}, {positions, inv_freq, 0.5f}, 0.0f);
        expect_same_bits(together[0], alone[0]);
        expect_same_bits(together[1], alone[1]);
      }
    }
  }
}

TEST_P(BackendConformance, AddRmsNormIsBoth) {
  Random random(15);
  for (const int64_t width : {1, 5, 33, 576}) {
    for (const int64_t rows : {0, 1, 7, 64}) {
      SCOPED_TRACE(fmt::format("[{}, {}]", rows, width));
      const Tensor a = random_tensor(random, {rows, width}),
                   b = random_tensor(random, {rows, width});
      const Tensor weight = random_tensor(random, {width});
      const auto empty = [&] { return Tensor::empty(DType::kF32, {rows, width}); };
      for (Backend* backend : {cpu_.get(), reference_.get()}) {
        Tensor sum = empty(), normed = empty(), added = empty(), alone = empty();
        backend->add_rms_norm(stream_, a, b, weight, 1e-5f, sum, normed);
        backend->add(stream_, a, b, added);
        backend->rms_norm(stream_, added, weight, 1e-5f, alone);
        expect_same_bits(sum, added);
        expect_same_bits(normed, alone);
      }
    }
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
