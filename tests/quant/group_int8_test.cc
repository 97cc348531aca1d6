// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/group_int8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "nibble/base/half.h"
#include "nibble/base/random.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/registry.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

Tensor normal_weights(int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols));
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

bool same_tensor(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

GroupInt8Scheme scheme_of_groups(int64_t group_size) {
  GroupInt8Config config;
  config.group_size = group_size;
  return GroupInt8Scheme(config);
}

struct Compressed {
  std::vector<int8_t> codes;
  std::vector<float> scales, decoded;
};

// FastChat's steps one after the other in float32: rows padded with zeros to whole groups, 127 over
// the largest magnitude of each (in PyTorch a product with the reciprocal), products clamped and
// rounded, the padding dropped.
Compressed step_by_step(const Tensor& dense, int64_t group_size) {
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  const auto weights = dense.data<float>();
  const int64_t groups = (cols + group_size - 1) / group_size;
  Compressed out;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> padded(static_cast<size_t>(groups * group_size), 0.0f);
    std::copy_n(weights.begin() + r * cols, cols, padded.begin());
    for (int64_t g = 0; g < groups; ++g) {
      const auto group = std::span(padded).subspan(static_cast<size_t>(g * group_size),
                                                   static_cast<size_t>(group_size));
      float absmax = 0.0f;
      for (const float w : group) absmax = std::max(absmax, std::fabs(w));
      const float factor = 127.0f * (1.0f / absmax);
      out.scales.push_back(absmax / 127.0f);
      for (int64_t c = g * group_size; c < std::min(cols, (g + 1) * group_size); ++c) {
        const float scaled = padded[static_cast<size_t>(c)] * factor;
        const float code = std::nearbyint(std::min(std::max(scaled, -127.0f), 127.0f));
        out.codes.push_back(static_cast<int8_t>(code));
        out.decoded.push_back(out.scales.back() * static_cast<float>(out.codes.back()));
      }
    }
  }
  return out;
}

TEST(GroupInt8Scheme, MatchesTheFormulaOnOddShapes) {
  ThreadPool one(1), two(2);
  for (const Shape& shape :
       {Shape{3, 5}, Shape{4, 256}, Shape{5, 300}, Shape{2, 769}, Shape{1, 1}, Shape{300, 257}}) {
    for (const int64_t group_size : {int64_t{256}, int64_t{64}, int64_t{7}, int64_t{-1}}) {
      const Tensor dense = normal_weights(shape[0], shape[1]);
      const GroupInt8Scheme scheme = scheme_of_groups(group_size);
      const Weight weight = scheme.quantize(dense, two);
      const int64_t group = group_size == -1 ? shape[1] : group_size;
      const Compressed expected = step_by_step(dense, group);
      const auto tensors = scheme.save(weight, "m");
      ASSERT_EQ(tensors.size(), 2u);
      EXPECT_EQ(tensors[0].name, "m.weight");
      EXPECT_TRUE(same_tensor(tensors[0].tensor, Tensor::from<int8_t>(expected.codes, shape)));
      EXPECT_EQ(tensors[1].name, "m.weight_scales");
      EXPECT_TRUE(same_tensor(
          tensors[1].tensor,
          Tensor::from<float>(expected.scales, {shape[0], (shape[1] + group - 1) / group})));
      EXPECT_TRUE(same_tensor(weight.dequantize(DType::kF32),
                              Tensor::from<float>(expected.decoded, shape)));
      EXPECT_TRUE(
          same_tensor(scheme.save(scheme.quantize(dense, one), "m")[0].tensor, tensors[0].tensor));
    }
  }
}

TEST(GroupInt8Scheme, RoundsTiesToEvenAndReachesBothEnds) {
  ThreadPool pool(1);
  const GroupInt8Scheme scheme = scheme_of_groups(256);
  const Tensor dense = Tensor::from<float>({127, 0.5f, -1.5f, 2.5f, -127, 0}, {1, 6});
  EXPECT_TRUE(same_tensor(scheme.save(scheme.quantize(dense, pool), "m")[0].tensor,
                          Tensor::from<int8_t>({127, 0, -2, 2, -127, 0}, {1, 6})));
}

// 127 / absmax is infinite in float16 below 0.00194, and groups that small came back as zeros.
TEST(GroupInt8Scheme, SmallGroupsOfFloat16KeepTheirValues) {
  ThreadPool pool(1);
  const GroupInt8Scheme scheme = scheme_of_groups(4);
  const float tiny = to_float(to_fp16(6e-8f));  // the smallest float16
  const Tensor dense =
      to_dtype(Tensor::from<float>(
                   {1e-3f, -1e-3f, 5e-4f, 0, 1e-5f, 0, -1e-5f, 0, tiny, 0, -tiny, 0}, {1, 12}),
               DType::kF16);
  const Tensor expected = to_dtype(dense, DType::kF32);
  const Tensor back = scheme.quantize(dense, pool).dequantize(DType::kF32);
  for (size_t i = 0; i < 12; ++i) {
    const float w = expected.data<float>()[i];
    const float absmax = i < 4 ? 1e-3f : i < 8 ? 1e-5f : tiny;
    EXPECT_NEAR(back.data<float>()[i], w, absmax / 254 * 1.001f) << i;  // half a step
  }
}

TEST(GroupInt8Scheme, GroupsWithoutAScaleAreZeros) {
  ThreadPool pool(1);
  const GroupInt8Scheme scheme = scheme_of_groups(2);
  const Tensor dense = Tensor::from<float>({0, 0, 1e-40f, -1e-40f, 1e-37f, 0, 1, -1}, {1, 8});
  EXPECT_TRUE(same_tensor(scheme.quantize(dense, pool).dequantize(DType::kF32),
                          Tensor::from<float>({0, 0, 0, 0, 0, 0, 1, -1}, {1, 8})));
  EXPECT_EQ(scheme.quantize(Tensor::zeros(DType::kF32, {3, 0}), pool).cols(), 0);
}

TEST(GroupInt8Scheme, WeightsSurviveAFile) {
  ThreadPool pool(1);
  const GroupInt8Scheme scheme = scheme_of_groups(32);
  const Weight weight = scheme.quantize(normal_weights(5, 77), pool);
  auto tensors = scheme.save(weight, "m");
  const TemporaryCheckpoint saved(tensors);
  EXPECT_TRUE(scheme.is_packed(*saved, "m"));
  EXPECT_FALSE(scheme.is_packed(*saved, "n"));
  const Weight loaded = scheme.load(*saved, "m", 5, 77, test_pool());
  EXPECT_EQ(loaded.activation_mode(), ActivationMode::kFloat);
  EXPECT_TRUE(same_tensor(loaded.dequantize(DType::kF32), weight.dequantize(DType::kF32)));
  EXPECT_TRUE(same_tensor(scheme.save(loaded, "m")[0].tensor, tensors[0].tensor));
  EXPECT_TRUE(same_tensor(scheme.save(loaded, "m")[1].tensor, tensors[1].tensor));
  // Scales of another dtype stay in it.
  tensors[1].tensor = to_dtype(tensors[1].tensor, DType::kF16);
  const TemporaryCheckpoint halves(tensors);
  EXPECT_TRUE(same_tensor(scheme.save(scheme.load(*halves, "m", 5, 77, test_pool()), "m")[1].tensor,
                          tensors[1].tensor));
}

TEST(GroupInt8Scheme, CodesOfAFileAreMappedAsTheyAre) {
  const GroupInt8Scheme scheme = scheme_of_groups(32);
  const TemporaryCheckpoint saved(
      scheme.save(scheme.quantize(normal_weights(5, 77), test_pool()), "m"));
  const Weight loaded = scheme.load(*saved, "m", 5, 77, test_pool());
  EXPECT_EQ(loaded.as_affine_group().codes.raw(), (*saved).tensor("m.weight").raw());
}

TEST(GroupInt8Scheme, GoesToGptqAndBack) {
  GptqConfig gptq;
  gptq.format = "gptq_v2";
  gptq.bits = 8;
  gptq.group_size = 32;
  gptq.sym = true;
  const GptqScheme other(gptq);
  const GroupInt8Scheme scheme = scheme_of_groups(32);
  const Tensor dense = to_dtype(normal_weights(32, 64), DType::kF16);
  const Weight weight = scheme.quantize(dense, test_pool());
  const TemporaryCheckpoint saved(other.save(weight, "m"));
  const Weight back = other.load(*saved, "m", 32, 64, test_pool());
  EXPECT_TRUE(same_tensor(back.dequantize(DType::kF32), weight.dequantize(DType::kF32)));
  EXPECT_TRUE(same_tensor(scheme.save(back, "m")[0].tensor, scheme.save(weight, "m")[0].tensor));
}

TEST(GroupInt8Scheme, RefusesWhatItCannotHold) {
  ThreadPool pool(1);
  const GroupInt8Scheme scheme = scheme_of_groups(32);
  Tensor dense = normal_weights(2, 64);
  const auto refused = [&](const Weight& weight) {
    return message_of([&] { scheme.save(weight, "m"); });
  };
  EXPECT_EQ(refused(Weight::dense(dense)),
            "tensor 'm.weight': cannot store this weight as group-int8: expected affine_group, got "
            "dense");
  EXPECT_EQ(refused(scheme_of_groups(64).quantize(dense, pool)),
            "tensor 'm.weight': cannot store this weight as group-int8: expected groups of 32, got "
            "64");
  GptqConfig gptq;
  gptq.format = "gptq";
  gptq.bits = 4;
  gptq.group_size = 32;
  EXPECT_EQ(refused(GptqScheme(gptq).quantize(dense, pool)),
            "tensor 'm.weight': cannot store this weight as group-int8: expected codes of 8 bits, "
            "got 4");
  gptq.bits = 8;
  EXPECT_EQ(refused(GptqScheme(gptq).quantize(dense, pool)), "no error");
  gptq.sym = false;
  EXPECT_EQ(refused(GptqScheme(gptq).quantize(dense, pool)),
            "tensor 'm.weight': cannot store this weight as group-int8: expected symmetric codes, "
            "with zeros of 128, got others");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
    dense.mutable_data<float>()[65] = bad;
    EXPECT_TRUE(message_of([&] {
                  scheme.quantize(dense, pool);
                }).starts_with("weights are not finite: got 1 of 128 elements NaN or infinite"));
  }
}

TEST(GroupInt8Scheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  const GroupInt8Scheme scheme = scheme_of_groups(4);
  const auto good = scheme.save(scheme.quantize(normal_weights(3, 5), pool), "m");
  const auto refused = [&](size_t part, const Tensor& tensor) {
    auto tensors = good;
    tensors[part].tensor = tensor;
    const TemporaryCheckpoint saved(tensors);
    return message_of([&] { scheme.load(*saved, "m", 3, 5, test_pool()); })
        .substr(saved.file().size());
  };
  EXPECT_EQ(refused(0, Tensor::zeros(DType::kI8, {5, 3})),
            ": tensor 'm.weight': tensor has the wrong dtype or shape: expected int8 [3, 5], got "
            "int8 [5, 3]");
  EXPECT_EQ(refused(1, Tensor::zeros(DType::kF32, {3, 1})),
            ": tensor 'm.weight_scales': tensor has the wrong dtype or shape: expected float16, "
            "bfloat16 or float32 [3, 2], got float32 [3, 1]");
  EXPECT_EQ(refused(1, Tensor::from<float>({1, 1, 1, INFINITY, 1, 1}, {3, 2})),
            ": tensor 'm.weight_scales': tensor is not finite: got inf at index 3");
}

TEST(GroupInt8Config, IsReadCheckedAndWritten) {
  const auto read = [](const Json& json) { return read_quantization_config(json, "config.json"); };
  const QuantizationConfig config = read({{"quant_method", "group-int8"}});
  EXPECT_EQ(to_json(config).dump(), R"({"bits":8,"group_size":256,"modules_to_not_convert":null,)"
                                    R"("quant_method":"group-int8"})");
  EXPECT_EQ(to_json(read(to_json(config))), to_json(config));
  EXPECT_EQ(make_scheme(config, "")->name(), "group-int8");
  EXPECT_EQ(facts_of(config).bits, 8);
  EXPECT_EQ(facts_of(config).group_size, 256);
  EXPECT_EQ(packed_size(config, 2, 300).bytes, 2 * 300 + 2 * 2 * 4);
  const auto message = [&](const Json& json) { return message_of([&] { read(json); }); };
  EXPECT_EQ(message({{"quant_method", "group-int8"}, {"bits", 4}}),
            "config.json: quantization_config has a bad 'bits': expected 8, got 4");
  EXPECT_EQ(message({{"quant_method", "group-int8"}, {"group_size", 0}}),
            "config.json: quantization_config has a bad 'group_size': expected -1 or at least 1, "
            "got 0");
}

}  // namespace
}  // namespace nibble
