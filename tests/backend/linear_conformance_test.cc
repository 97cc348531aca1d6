// SPDX-License-Identifier: Apache-2.0
//
// linear and embedding of the cpu backend against the reference: layout x shape x tokens, on every
// instruction set.
#include <fmt/format.h>

#include <numeric>

#include "nibble/backend/cpu/linear.h"
#include "nibble/base/float8.h"
#include "tests/backend/conformance.h"

namespace nibble::conformance {
namespace {

// Sums of float products: each product and each partial sum is rounded, and with many independent
// partial sums the errors grow about like the root of the columns. 32 roundings of the sum of
// magnitudes hold up to 6,000 columns with a wide margin; a dropped or doubled element of any size
// that matters does not pass.
constexpr float kFloatSum = 32 * kRounding;
// LLM.int8(): the int8 sum is exact; a handful of roundings for scales, outliers and bias.
constexpr float kInt8Sum = 16 * kRounding;

struct NamedWeight {
  std::string name;
  Weight weight;
};

std::vector<NamedWeight> weights_of(Random& random, int64_t rows, int64_t cols) {
  std::vector<NamedWeight> list;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    list.push_back({std::string(torch_name(dtype)), dense_weight(random, rows, cols, dtype)});
  }
  list.push_back({"int8_row", int8_weight(random, rows, cols, ActivationMode::kFloat)});
  for (const int64_t block_size : {int64_t{32}, int64_t{64}, int64_t{128}, int64_t{4096}}) {
    list.push_back({fmt::format("nf4 blocks of {}", block_size),
                    code_block_weight(random, rows, cols, QuantType::kNf4, block_size, false)});
  }
  list.push_back({"nf4 nested", code_block_weight(random, rows, cols, QuantType::kNf4, 64, true)});
  list.push_back({"fp4", code_block_weight(random, rows, cols, QuantType::kFp4, 64, false)});
  list.push_back({"fp4 nested", code_block_weight(random, rows, cols, QuantType::kFp4, 128, true)});
  for (const int64_t bits : {1, 2, 3, 4, 5, 6, 7, 8}) {
    list.push_back({fmt::format("affine, {} bits", bits),
                    affine_weight(random, rows, cols, bits, bits == 5 ? 48 : 32)});
  }
  list.push_back({"affine, groups of 37", affine_weight(random, rows, cols, 3, 37)});
  list.push_back({"affine, signed codes", signed_affine_weight(random, rows, cols, 48)});
  list.push_back({"affine, one group", affine_weight(random, rows, cols, 8, int64_t{1} << 62)});
  list.push_back({"affine, 3 bits, act-order",
                  affine_weight(random, rows, cols, 3, 16, ZeroForm::kSubtracted, true)});
  list.push_back(
      {"affine, zeros added", affine_weight(random, rows, cols, 4, 128, ZeroForm::kAdded)});
  list.push_back(
      {"affine, act-order", affine_weight(random, rows, cols, 4, 32, ZeroForm::kSubtracted, true)});
  list.push_back({"float8_e4m3fn", float8_weight(random, rows, cols, DType::kF8E4M3, 3, 48)});
  list.push_back(
      {"float8_e4m3fn, blocks of 64", float8_weight(random, rows, cols, DType::kF8E4M3, 2, 64)});
  list.push_back({"float8_e5m2", float8_weight(random, rows, cols, DType::kF8E5M2, 1, cols)});
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (const int64_t size : {int64_t{32}, int64_t{64}, int64_t{192}}) {
      const Weight nf4 = code_block_weight(random, rows, cols, QuantType::kNf4, size, false);
      list.push_back({fmt::format("nf4 blocks of {}, absmax {}", size, torch_name(dtype)),
                      with_scales_of(nf4, dtype)});
      const ZeroForm form = dtype == DType::kF16 ? ZeroForm::kSubtracted : ZeroForm::kAdded;
      list.push_back({fmt::format("affine groups of {}, scales {}", size, torch_name(dtype)),
                      with_scales_of(affine_weight(random, rows, cols, 4, size, form), dtype)});
    }
  }
  for (const int64_t size : {int64_t{32}, int64_t{64}, int64_t{128}}) {
    list.push_back({fmt::format("affine, symmetric, groups of {}", size),
                    symmetric_weight(random, rows, cols, size)});
  }
  for (size_t i = list.size(); i-- > 0;) {
    const Layout layout = list[i].weight.layout();
    if (layout == Layout::kDense || layout == Layout::kInt8Row) continue;
    list.push_back({list[i].name + ", int8 activations",
                    list[i].weight.with_activation_mode(ActivationMode::kInt8)});
  }
  return list;
}

// The sum of the magnitudes of what linear adds up, [tokens, rows]: the scale of its rounding
// error.
Tensor magnitude_of(Backend& reference, const Weight& weight, const Tensor& x, const Tensor& bias) {
  Stream stream;
  const Weight dense = Weight::dense(absolute(weight.dequantize(DType::kF32)));
  Tensor y = Tensor::empty(DType::kF32, {x.dim(0), weight.rows()});
  const Tensor absolute_bias = bias.defined() ? absolute(bias) : Tensor();
  const auto prepared = reference.prepare(dense);
  const LinearPart part{*prepared, absolute_bias, y};
  reference.linear(stream, absolute(x), {&part, 1});
  return y;
}

// How finely the kernels take x and the weight's values where they take both as int16: a group's
// largest magnitude has `magnitude` steps or fewer, so that all its magnitudes have `sum` together
// (backend/cpu/block_activations.h), and a codebook's largest value has `value`. Infinite: exact.
struct Steps {
  float magnitude = INFINITY, sum = INFINITY, value = INFINITY;
};

Steps steps_of(const Weight& weight, int64_t tokens) {
  if (weight.cols() % 32 != 0) return {};  // not whole vectors of codes: float throughout
  if (weight.activation_mode() == ActivationMode::kInt8) return {};  // as the reference rounds
  const bool few = tokens <= cpu::few_tokens();
  if (weight.layout() == Layout::kCodeBlock) {
    return few ? Steps{16383, INFINITY, 16383} : Steps{32767, (1 << 18) - 33, 8191};
  }
  if (weight.layout() == Layout::kAffineGroup && weight.as_affine_group().bits == 4) {
    return few ? Steps{.magnitude = 16383} : Steps{32767, (1 << 18) - 33, INFINITY};
  }
  const bool int8 =
      weight.layout() == Layout::kInt8Row && weight.activation_mode() == ActivationMode::kFloat;
  return int8 ? Steps{.magnitude = 32767} : Steps{};
}

// [tokens, cols]: half a step of each element, with groups of 64 columns.
Tensor half_steps(const Tensor& x, const Steps& steps) {
  constexpr int64_t kGroup = 64;
  Tensor out = Tensor::empty(DType::kF32, x.shape());
  const int64_t cols = x.dim(1);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    const auto row =
        x.data<float>().subspan(static_cast<size_t>(t * cols), static_cast<size_t>(cols));
    for (int64_t begin = 0; begin < cols; begin += kGroup) {
      const int64_t end = std::min(begin + kGroup, cols);
      float largest = 0.0f, sum = 0.0f;
      for (int64_t i = begin; i < end; ++i) {
        largest = std::max(largest, std::fabs(row[static_cast<size_t>(i)]));
        sum += std::fabs(row[static_cast<size_t>(i)]);
      }
      const float step = std::max(largest / steps.magnitude, sum / steps.sum);
      const auto to = out.mutable_data<float>().subspan(static_cast<size_t>(t * cols));
      for (int64_t i = begin; i < end; ++i) to[static_cast<size_t>(i)] = step / 2;
    }
  }
  return out;
}

// [rows, cols]: the absmax of each element's block.
Tensor absmax_matrix(const Weight& weight) {
  const CodeBlock& packed = weight.as_code_block();
  std::vector<float> absmax(
      static_cast<size_t>(block_count(weight.rows() * weight.cols(), packed.block_size)));
  decode_absmax(packed, 0, absmax);
  Tensor out = Tensor::empty(DType::kF32, {weight.rows(), weight.cols()});
  const auto values = out.mutable_data<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = absmax[i / static_cast<size_t>(packed.block_size)];
  }
  return out;
}

Tensor linear(Backend& backend, const Weight& weight, const Tensor& x, const Tensor& bias) {
  Stream stream;
  Tensor y = Tensor::empty(DType::kF32, {x.dim(0), weight.rows()});
  for (float& value : y.mutable_data<float>()) value = NAN;  // every element must be written
  const auto prepared = backend.prepare(weight);
  const LinearPart part{*prepared, bias, y};
  backend.linear(stream, x, {&part, 1});
  return y;
}

class LinearConformance : public CpuTarget {
 protected:
  void check(const std::string& name, const Weight& weight, const Tensor& x, const Tensor& bias,
             float tolerance) {
    SCOPED_TRACE(
        fmt::format("{} [{}, {}] x {} tokens", name, weight.rows(), weight.cols(), x.dim(0)));
    Tensor bound = magnitude_of(*reference_, weight, x, bias);
    const auto bounds = bound.mutable_data<float>();
    for (float& value : bounds) value *= tolerance;
    const Steps steps = steps_of(weight, x.dim(0));
    const auto add = [&](const Tensor& products, float factor) {
      for (size_t i = 0; i < bounds.size(); ++i) bounds[i] += factor * products.data<float>()[i];
    };
    if (std::isfinite(steps.magnitude)) {
      const Weight magnitudes = Weight::dense(absolute(weight.dequantize(DType::kF32)));
      add(linear(*reference_, magnitudes, half_steps(x, steps), Tensor()), 1.0f);
    }
    if (std::isfinite(steps.value)) {
      add(linear(*reference_, Weight::dense(absmax_matrix(weight)), absolute(x), Tensor()),
          0.5f / steps.value);
    }
    expect_close(linear(*cpu_, weight, x, bias), linear(*reference_, weight, x, bias), bound, 1.0f);
  }
};

TEST_P(LinearConformance, MatchesReferenceOnOddShapes) {
  Random random(1);
  const int64_t shapes[][2] = {{1, 1},  {3, 5},    {7, 33},  {17, 129}, {1, 64},
                               {5, 96}, {13, 320}, {50, 47}, {49, 513}};
  for (const auto& [rows, cols] : shapes) {
    const Tensor bias = random_tensor(random, {rows});
    for (const NamedWeight& row : weights_of(random, rows, cols)) {
      for (const int64_t tokens : {1, 2, 3, 4, 7, 8, 9, 16, 33}) {
        const Tensor x = random_tensor(random, {tokens, cols});
        check(row.name, row.weight, x, tokens % 2 == 0 ? bias : Tensor(), kFloatSum);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(LinearConformance, MatchesReferenceOnModelShapes) {
  Random random(2);
  for (const NamedWeight& row : weights_of(random, 576, 576)) {
    for (const int64_t tokens : {1, 7, 64}) {
      check(row.name, row.weight, random_tensor(random, {tokens, 576}), Tensor(), kFloatSum);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(LinearConformance, MatchesReferenceBeyondOneTokenPanel) {
  Random random(3);
  for (const NamedWeight& row : weights_of(random, 50, 70)) {
    check(row.name, row.weight, random_tensor(random, {1030, 70}), Tensor(), kFloatSum);
    if (HasFatalFailure()) return;
  }
  check("llm_int8", int8_weight(random, 50, 71, ActivationMode::kInt8),
        random_tensor(random, {1030, 71}, 2.0f), Tensor(), kInt8Sum);
}

// Row r has code r in a column of its own and zeros beside it: exact, or NaN for NaN, looked up and
// multiplied by ones, in blocks that are whole vectors and that are not.
TEST_P(LinearConformance, ReadsEveryFloat8Value) {
  struct Case {
    int64_t cols, block;
  };
  Tensor ids = Tensor::empty(DType::kI32, {256});
  std::iota(ids.mutable_data<int32_t>().begin(), ids.mutable_data<int32_t>().end(), 0);
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2}) {
    for (const auto& [cols, block] :
         {Case{37, 16}, Case{37, 5}, Case{37, 37}, Case{64, 32}, Case{64, 64}, Case{160, 64}}) {
      const auto width = static_cast<size_t>(cols);
      Tensor all = Tensor::zeros(DType::kU8, {256, cols});
      for (size_t code = 0; code < 256; ++code) {
        all.mutable_data<uint8_t>()[code * width + code % width] = static_cast<uint8_t>(code);
      }
      const Tensor ones = Tensor::from(std::vector<float>(3 * width, 1.0f), {3, cols});
      const int64_t blocks = block_count(cols, block);
      const Tensor halves =
          Tensor::from(std::vector<float>(static_cast<size_t>(blocks), 0.5f), {1, blocks});
      const Weight weight = Weight::float8_block(
          {all.reinterpret(dtype, {256, cols}), halves, 256, block}, DType::kBF16);
      Tensor rows = Tensor::empty(DType::kF32, {256, cols});
      cpu_->embedding(stream_, *cpu_->prepare(weight), ids, rows);
      const Tensor sums = linear(*cpu_, weight, ones, Tensor());
      for (size_t code = 0; code < 256; ++code) {
        const auto bits = static_cast<uint8_t>(code);
        const float want =
            0.5f * (dtype == DType::kF8E4M3 ? to_float(fp8_e4m3{bits}) : to_float(fp8_e5m2{bits}));
        for (const float got : {rows.data<float>()[code * width + code % width],
                                sums.data<float>()[code], sums.data<float>()[512 + code]}) {
          ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : got == want)
              << torch_name(dtype) << " [256, " << cols << "] in blocks of " << block << ", code "
              << code << ": " << got;
        }
      }
    }
  }
}

TEST_P(LinearConformance, KeepsHugeAndTinyValues) {
  Random random(4);
  for (const float scale : {1e-20f, 1e20f}) {
    for (const NamedWeight& row : weights_of(random, 5, 192)) {
      for (const int64_t tokens : {1, 12}) {
        check(row.name, row.weight, random_tensor(random, {tokens, 192}, scale), Tensor(),
              kFloatSum);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// The largest codes times groups of equal and of unequal x: sums of int16 products that pass 2^31
// come out with another sign.
TEST_P(LinearConformance, SumsTheLargestCodesOfAGroup) {
  CodeBlock packed;
  packed.codes = Tensor::from(std::vector<uint8_t>(6 * 128 / 2, 0xff), {6 * 128 / 2});
  const auto& codebook = codebook_of(QuantType::kNf4);
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.absmax = Tensor::from(std::vector<float>(12, 1.0f), {12});
  const Weight ones = Weight::code_block(packed, 6, 128, DType::kBF16);
  for (const int64_t tokens : {1, 4, 8, 9, 40}) {
    Tensor x = Tensor::empty(DType::kF32, {tokens, 128});
    for (const int64_t large : {1, 7, 64, 128}) {  // of each token's columns; the rest is small
      const auto values = x.mutable_data<float>();
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<int64_t>(i) % 128 < large ? 3e4f : 1.0f;
      }
      check(fmt::format("{} large", large), ones, x, Tensor(), kFloatSum);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(LinearConformance, ReadsEveryHalfValue) {
  // Each of the 65,536 bit patterns as a 1-column weight: exact, or NaN for NaN.
  std::vector<fp16> patterns(65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i].bits = static_cast<uint16_t>(i);
  const Weight table = Weight::dense(Tensor::from(patterns, {256, 256}));
  Tensor ids = Tensor::empty(DType::kI32, {256});
  for (int i = 0; i < 256; ++i) ids.mutable_data<int32_t>()[static_cast<size_t>(i)] = i;
  Tensor y = Tensor::empty(DType::kF32, {256, 256});
  cpu_->embedding(stream_, *cpu_->prepare(table), ids, y);
  for (size_t i = 0; i < patterns.size(); ++i) {
    const float want = to_float(patterns[i]), got = y.data<float>()[i];
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << i;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(want)) << i;
    }
  }
}

TEST_P(LinearConformance, EmbeddingDecodesEveryLayoutExactly) {
  Random random(5);
  const Tensor ids = Tensor::from<int32_t>({4, 0, 8, 4, 3}, {5});
  for (const int64_t cols : {1, 7, 64, 131, 576}) {
    for (const NamedWeight& row : weights_of(random, 9, cols)) {
      SCOPED_TRACE(fmt::format("{} with {} columns", row.name, cols));
      Tensor got = Tensor::empty(DType::kF32, {5, cols}),
             want = Tensor::empty(DType::kF32, {5, cols});
      cpu_->embedding(stream_, *cpu_->prepare(row.weight), ids, got);
      reference_->embedding(stream_, *reference_->prepare(row.weight), ids, want);
      expect_same_bits(got, want);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(LinearConformance, LlmInt8MatchesReference) {
  Random random(6);
  const int64_t shapes[][2] = {{1, 1}, {3, 5}, {7, 33}, {17, 129}, {50, 1025}, {576, 576}};
  for (const auto& [rows, cols] : shapes) {
    for (const float threshold : {0.0f, 2.5f, 6.0f}) {
      const Weight weight = int8_weight(random, rows, cols, ActivationMode::kInt8, threshold);
      const Tensor bias = random_tensor(random, {rows});
      for (const int64_t tokens : {1, 2, 5, 8, 9, 40}) {
        // Spread 2: some columns hold outliers, many do not.
        check(fmt::format("threshold {}", threshold), weight,
              random_tensor(random, {tokens, cols}, 2.0f), tokens % 2 ? bias : Tensor(), kInt8Sum);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(LinearConformance, LlmInt8TreatsWhatFloat16CannotHoldAsOutliers) {
  Random random(7);
  for (const float threshold : {0.0f, 6.0f}) {
    const Weight weight = int8_weight(random, 5, 70, ActivationMode::kInt8, threshold);
    for (const int64_t tokens : {1, 3, 20}) {
      Tensor x = random_tensor(random, {tokens, 70});
      x.mutable_data<float>()[3] = 1e6f;
      x.mutable_data<float>()[69] = -65520.0f;
      x.mutable_data<float>()[5] = 1e-7f;  // subnormal in float16
      check(fmt::format("threshold {}", threshold), weight, x, Tensor(), kInt8Sum);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(LinearConformance, LlmInt8GivesZeroForZeroActivations) {
  Random random(8);
  const Weight weight = int8_weight(random, 3, 40, ActivationMode::kInt8);
  for (const int64_t tokens : {1, 20}) {
    const Tensor y = linear(*cpu_, weight, Tensor::zeros(DType::kF32, {tokens, 40}), Tensor());
    for (const float value : y.data<float>()) ASSERT_EQ(value, 0.0f);
  }
}

// All codes at their limit: sums that saturate at 16 bits, or are held in float, come out wrong.
TEST_P(LinearConformance, LlmInt8SumsExactly) {
  // With `cancel`, products of 127 * 127 cancel in pairs and one of 127 * 1 is left.
  const auto run = [&](int64_t rows, int64_t cols, int64_t tokens, bool cancel) {
    Int8Row packed{Tensor::empty(DType::kI8, {rows, cols}),
                   Tensor::from(std::vector<float>(static_cast<size_t>(rows), 127.0f), {rows})};
    const auto codes = packed.codes.mutable_data<int8_t>();
    for (size_t i = 0; i < codes.size(); ++i) {
      const int64_t col = static_cast<int64_t>(i) % cols;
      codes[i] = col == cols - 1 && cancel ? 1 : col % 2 && cancel ? -127 : 127;
    }
    const Tensor x = Tensor::from(std::vector<float>(static_cast<size_t>(tokens * cols), 127.0f),
                                  {tokens, cols});
    return linear(*cpu_, Weight::int8_row(packed, DType::kF16, ActivationMode::kInt8, 0.0f), x,
                  Tensor());
  };
  for (const int64_t tokens : {1, 8, 20}) {
    const Tensor all = run(7, 2048, tokens, false), rest = run(7, 2049, tokens, true);
    for (const float y : all.data<float>()) {
      // One scale product is rounded twice.
      ASSERT_NEAR(y, 33032192.0f, 33032192.0f * 3 * kRounding);
    }
    for (const float y : rest.data<float>()) {
      ASSERT_NEAR(y, 127.0f, 127.0f * 3 * kRounding);
    }
  }
  for (const int64_t cols : {int64_t{1} << 17, (int64_t{1} << 17) + 65}) {
    for (const int64_t tokens : {1, 9}) {
      const double want = static_cast<double>(cols) * 127 * 127;
      const Tensor all = run(2, cols, tokens, false);
      for (const float y : all.data<float>()) {
        ASSERT_NEAR(y, want, want * 4 * kRounding);  // one more: the sum itself becomes a float
      }
    }
  }
}

// Weights that share x, and neighbours that cannot: as if each were alone, bit for bit.
TEST_P(LinearConformance, SeveralWeightsWithOneX) {
  Random random(12);
  std::vector<NamedWeight> weights = weights_of(random, 200, 128);
  for (NamedWeight& row : weights_of(random, 70, 128)) weights.push_back(std::move(row));
  weights.push_back({"no rows", int8_weight(random, 0, 128, ActivationMode::kFloat)});
  for (const float threshold : {0.0f, 2.0f, 2.0f}) {
    weights.push_back({"llm_int8", int8_weight(random, 33, 128, ActivationMode::kInt8, threshold)});
  }
  for (const int64_t tokens : {1, 3, 40}) {
    const Tensor x = random_tensor(random, {tokens, 128});
    std::vector<std::shared_ptr<const PreparedWeight>> prepared;
    std::vector<Tensor> biases, results;
    for (const NamedWeight& row : weights) {
      const int64_t rows = row.weight.rows();
      prepared.push_back(cpu_->prepare(row.weight));
      biases.push_back(prepared.size() % 2 ? Tensor() : random_tensor(random, {rows}));
      results.push_back(Tensor::empty(DType::kF32, {tokens, rows}));
    }
    std::vector<LinearPart> parts;
    for (size_t i = 0; i < weights.size(); ++i) {
      parts.push_back({*prepared[i], biases[i], results[i]});
    }
    Stream stream;
    cpu_->linear(stream, x, parts);
    for (size_t i = 0; i < weights.size(); ++i) {
      SCOPED_TRACE(fmt::format("{} x {} tokens", weights[i].name, tokens));
      expect_same_bits(results[i], linear(*cpu_, weights[i].weight, x, biases[i]));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(LinearConformance, AcceptsNothing) {
  Random random(9);
  for (const NamedWeight& row : weights_of(random, 3, 64)) {
    EXPECT_EQ(linear(*cpu_, row.weight, Tensor::empty(DType::kF32, {0, 64}), Tensor()).numel(), 0);
  }
  for (const ActivationMode mode : {ActivationMode::kFloat, ActivationMode::kInt8}) {
    EXPECT_EQ(
        linear(*cpu_, int8_weight(random, 0, 8, mode), random_tensor(random, {2, 8}), Tensor())
            .numel(),
        0);
    EXPECT_EQ(
        linear(*cpu_, int8_weight(random, 3, 8, mode), Tensor::empty(DType::kF32, {0, 8}), Tensor())
            .numel(),
        0);
  }
  const Tensor bias = Tensor::from<float>({1.0f, 2.0f}, {2});
  for (const int64_t tokens : {1, 20}) {  // no columns: the bias alone
    const Tensor y = linear(*cpu_, dense_weight(random, 2, 0, DType::kF32),
                            Tensor::empty(DType::kF32, {tokens, 0}), bias);
    for (size_t i = 0; i < y.data<float>().size(); ++i) {
      EXPECT_EQ(y.data<float>()[i], i % 2 == 0 ? 1.0f : 2.0f);
    }
  }
}

TEST_P(LinearConformance, DoesNotDependOnTheNumberOfThreads) {
  Random random(10);
  std::vector<NamedWeight> weights = weights_of(random, 200, 576);
  weights.push_back({"llm_int8", int8_weight(random, 200, 576, ActivationMode::kInt8, 5.0f)});
  weights.push_back({"crossing", code_block_weight(random, 200, 97, QuantType::kNf4, 64, true)});
  const auto serial = cpu_backend(1);
  for (const NamedWeight& row : weights) {
    for (const int64_t tokens : {1, 7, 64}) {
      SCOPED_TRACE(fmt::format("{} x {} tokens", row.name, tokens));
      const Tensor x = random_tensor(random, {tokens, row.weight.cols()}, 2.0f);
      const Tensor want = linear(*serial, row.weight, x, Tensor());
      for (const int threads : {2, 3, 8}) {
        expect_same_bits(linear(*cpu_backend(threads), row.weight, x, Tensor()), want);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, LinearConformance, testing::ValuesIn(cpu::available_targets()),
                         [](const auto& target) { return target.param; });

}  // namespace
}  // namespace nibble::conformance
