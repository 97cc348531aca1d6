// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/fp8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "nibble/base/float8.h"
#include "nibble/base/random.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

Fp8Config config_of(const char* json) {
  return Fp8Config::from_json(nlohmann::ordered_json::parse(json), "f");
}

Tensor normal_matrix_of_fp8(int64_t rows, int64_t cols) {
  Random random(7);
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

bool same_fp8(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

// The steps of transformers' Fp8Quantize on one block, written down again.
TEST(Fp8Scheme, RoundsToTheLargestOfEachBlock) {
  const Fp8Scheme scheme(config_of(R"({"weight_block_size": [2, 3]})"));
  const Tensor dense = normal_matrix_of_fp8(4, 7);
  ThreadPool pool(2);
  const Weight weight = scheme.quantize(dense, pool);
  const Float8Block& packed = weight.as_float8_block();
  EXPECT_EQ(packed.scales.shape(), (Shape{2, 3}));
  for (int64_t r = 0; r < 4; ++r) {
    for (int64_t c = 0; c < 7; ++c) {
      float largest = 0.0f;
      for (int64_t i = r / 2 * 2; i < r / 2 * 2 + 2; ++i) {
        for (int64_t j = c / 3 * 3; j < std::min<int64_t>(7, c / 3 * 3 + 3); ++j) {
          largest =
              std::max(largest, std::fabs(dense.data<float>()[static_cast<size_t>(i * 7 + j)]));
        }
      }
      const float factor = 448.0f * (1.0f / largest);
      const float w = dense.data<float>()[static_cast<size_t>(r * 7 + c)];
      const auto at = static_cast<size_t>(r * 7 + c);
      EXPECT_EQ(static_cast<const uint8_t*>(packed.codes.raw())[at], to_fp8_e4m3(w * factor).bits);
      EXPECT_EQ(packed.scales.data<float>()[static_cast<size_t>(r / 2 * 3 + c / 3)], 1.0f / factor);
    }
  }
  const Weight zeros = scheme.quantize(Tensor::zeros(DType::kF32, {2, 3}), pool);
  EXPECT_EQ(zeros.as_float8_block().scales.data<float>()[0], 1.0f);
  EXPECT_EQ(zeros.dequantize().data<float>()[5], 0.0f);
}

TEST(Fp8Scheme, WeightsSurviveAFile) {
  ThreadPool pool(2);
  const Tensor dense = normal_matrix_of_fp8(64, 96);
  for (const char* json :
       {R"({"weight_block_size": [32, 48]})", R"({"weight_block_size": [1, 96]})",
        R"({"weight_block_size": null})", R"({"fmt": "e5m2"})",
        R"({"weight_block_size": [32, 32], "scale_fmt": "ue8m0"})"}) {
    SCOPED_TRACE(json);
    const Fp8Scheme scheme(config_of(json));
    const Weight weight = scheme.quantize(dense, pool);
    const TemporaryCheckpoint saved(scheme.save(weight, "m"));
    EXPECT_TRUE(scheme.is_packed(*saved, "m"));
    EXPECT_FALSE(scheme.is_packed(*saved, "n"));
    const Weight loaded = scheme.load(*saved, "m", 64, 96, pool);
    EXPECT_TRUE(same_fp8(loaded.dequantize(DType::kF32), weight.dequantize(DType::kF32)));
    double error = 0, square = 0;
    const Tensor decoded = weight.dequantize();
    for (size_t i = 0; i < 64 * 96; ++i) {
      const float w = dense.data<float>()[i], d = decoded.data<float>()[i] - w;
      error += double{d} * d, square += double{w} * w;
    }
    EXPECT_LT(std::sqrt(error / square), weight.as_float8_block().codes.dtype() == DType::kF8E4M3
                                             ? 0.03    // half a step of 1/8
                                             : 0.06);  // of 1/4
  }
}

TEST(Fp8Scheme, ReadsWhatOthersWrite) {
  ThreadPool pool(1);
  const Tensor codes = Tensor::from<uint8_t>({0x38, 0x40, 0xb8, 0x7e}, {2, 2});  // 1, 2, -1, 448
  const auto load = [&](const char* json, const Tensor& scales) {
    const TemporaryCheckpoint saved(
        {{"m.weight", codes.reinterpret(DType::kF8E4M3, {2, 2})}, {"m.weight_scale_inv", scales}});
    const Weight weight = Fp8Scheme(config_of(json)).load(*saved, "m", 2, 2, pool);
    const Tensor values = weight.dequantize(DType::kF32);
    const auto all = values.data<float>();
    return std::vector<float>(all.begin(), all.end());
  };
  using Values = std::vector<float>;
  const char* rows = R"({"weight_block_size": [1, 2]})";
  EXPECT_EQ(load(rows, Tensor::from<float>({0.5f, 2}, {2, 1})), (Values{0.5f, 1, -2, 896}));
  EXPECT_EQ(load(rows, to_dtype(Tensor::from<float>({0.5f, 2}, {2, 1}), DType::kBF16)),
            (Values{0.5f, 1, -2, 896}));
  EXPECT_EQ(load(rows, Tensor::from<uint8_t>({126, 128}, {2, 1})), (Values{0.5f, 1, -2, 896}));
  EXPECT_EQ(load("{}", Tensor::from<float>({3}, {1, 1})), (Values{3, 6, -3, 1344}));
  const char* whole = R"({"weight_block_size": null})";
  EXPECT_EQ(load(whole, Tensor::from<float>({3}, {})), (Values{3, 6, -3, 1344}));
  EXPECT_EQ(load(whole, Tensor::from<float>({3}, {1})), (Values{3, 6, -3, 1344}));
}

TEST(Fp8Scheme, NamesTheDamagedTensor) {
  ThreadPool pool(1);
  const Fp8Scheme scheme(config_of("{}"));
  const auto message = [&](const Tensor& codes, const Tensor& scales) {
    const TemporaryCheckpoint saved({{"m.weight", codes}, {"m.weight_scale_inv", scales}});
    return message_of([&] { scheme.load(*saved, "m", 1, 2, pool); }).substr(saved.file().size());
  };
  const auto fp8 = [](uint8_t a, uint8_t b) {
    return Tensor::from<uint8_t>({a, b}, {1, 2}).reinterpret(DType::kF8E4M3, {1, 2});
  };
  const Tensor one = Tensor::from<float>({1}, {1, 1});
  EXPECT_EQ(message(fp8(0, 0xff), one), ": tensor 'm.weight': tensor is not finite");
  EXPECT_EQ(message(Tensor::zeros(DType::kU8, {1, 2}), one),
            ": tensor 'm.weight': tensor has the wrong dtype or shape: expected float8_e4m3fn or "
            "float8_e5m2 [1, 2], got uint8 [1, 2]");
  EXPECT_EQ(message(fp8(0, 0), Tensor::from<float>({1, 1}, {1, 2})),
            ": tensor 'm.weight_scale_inv': tensor has the wrong dtype or shape: expected float16, "
            "bfloat16 or float32 [1, 1], got float32 [1, 2]");
  EXPECT_EQ(message(fp8(0, 0), Tensor::from<uint8_t>({255}, {1, 1})),
            ": tensor 'm.weight_scale_inv': tensor is not finite");
}

TEST(Fp8Config, ReadsWhatTransformersDoes) {
  const Fp8Config config = config_of(
      R"({"activation_scheme": "Static", "fmt": "e4m3", "quant_method": "fp8",
          "weight_block_size": [64, 128], "ignored_layers": ["lm_head"]})");
  EXPECT_EQ(config.activation_scheme, "static");
  EXPECT_EQ(config.weight_block_size->rows, 64);
  EXPECT_EQ(config.modules_to_not_convert, (std::vector<std::string>{"lm_head"}));
  EXPECT_TRUE(config.notes.empty());
  EXPECT_EQ(Fp8Config::from_json(config.to_json(), "f").to_json(), config.to_json());
  const auto refused = [](const char* json) { return message_of([&] { config_of(json); }); };
  EXPECT_EQ(refused(R"({"weight_block_size": [128]})"),
            "f: quantization_config has a bad 'weight_block_size': expected two positive numbers, "
            "or null, got [128]");
  EXPECT_EQ(refused(R"({"fmt": "e3m4"})"),
            "f: quantization_config has a bad 'fmt': expected e4m3 or e5m2, got \"e3m4\"");
  EXPECT_EQ(Fp8Scheme(config).misfit(96, 128),
            "rows and columns that are whole blocks of 64 x 128, or less than one");
  EXPECT_EQ(Fp8Scheme(config).misfit(32, 256), std::nullopt);
}

}  // namespace
}  // namespace nibble
