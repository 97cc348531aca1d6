// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/gptq.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

constexpr const char* kAllFormats[] = {"gemm", "gemv", "gemv_fast", "llm-awq", "marlin"};

AwqScheme awq(const std::string& format, int64_t group_size = 64, bool zero_point = true) {
  AwqConfig config;
  config.format = format;
  config.group_size = group_size;
  config.zero_point = zero_point;
  return AwqScheme(config);
}

Tensor gaussian(int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols));
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

TEST(AwqScheme, CodesSurviveEveryFormat) {
  ThreadPool pool(2);
  for (const char* format : kAllFormats) {
    for (const int64_t group_size : {-1, 32, 64, 128}) {
      const AwqScheme scheme = awq(format, group_size);
      const Weight weight = scheme.quantize(gaussian(64, 256), pool);
      const auto tensors = scheme.save(weight, "m");
      const TemporaryCheckpoint saved(tensors);
      EXPECT_TRUE(scheme.is_packed(*saved, "m"));
      const Weight loaded = scheme.load(*saved, "m", 64, 256, test_pool());
      EXPECT_TRUE(equal(loaded.as_affine_group().codes, weight.as_affine_group().codes)) << format;
      EXPECT_TRUE(equal(loaded.as_affine_group().scales, weight.as_affine_group().scales));
      EXPECT_TRUE(equal(floats_of_codes(*zero_codes(loaded.as_affine_group())),
                        weight.as_affine_group().zeros));
      const auto again = scheme.save(loaded, "m");
      for (size_t i = 0; i < again.size(); ++i) {
        EXPECT_EQ(again[i].name, tensors[i].name);
        EXPECT_TRUE(equal(again[i].tensor, tensors[i].tensor)) << format << again[i].name;
      }
    }
  }
}

TEST(AwqScheme, SymmetricCodesGoThroughAllFormatsAndGptq) {
  ThreadPool pool(1);
  const Weight weight = awq("gemm", 64, false).quantize(gaussian(64, 128), pool);
  for (const char* format : kAllFormats) {
    const TemporaryCheckpoint saved(awq(format).save(weight, "m"));
    const Weight loaded = awq(format).load(*saved, "m", 64, 128, test_pool());
    GptqConfig gptq;
    gptq.group_size = 64;
    gptq.format = "gptq";
    const TemporaryCheckpoint as_gptq(GptqScheme(gptq).save(loaded, "m"));
    EXPECT_TRUE(equal(GptqScheme(gptq).load(*as_gptq, "m", 64, 128, test_pool()).dequantize(),
                      weight.dequantize(DType::kF16)))
        << format;
  }
}

TEST(AwqScheme, LlmAwqHasANameOfItsOwn) {
  ThreadPool pool(1);
  const Weight weight = awq("llm-awq").quantize(gaussian(4, 64), pool);
  const auto tensors = awq("llm-awq").save(weight, "m");
  EXPECT_EQ(tensors[1].name, "m.scaled_zeros");
  // Under either name the same numbers.
  const TemporaryCheckpoint saved(tensors);
  EXPECT_TRUE(equal(awq("gemv_fast").load(*saved, "m", 4, 64, test_pool()).dequantize(),
                    awq("llm-awq").load(*saved, "m", 4, 64, test_pool()).dequantize()));
}

TEST(AwqScheme, ZerosThatAreNoCodesStayAsTheyAre) {
  ThreadPool pool(1);
  const AwqScheme fast = awq("gemv_fast");
  auto tensors = fast.save(fast.quantize(gaussian(4, 64), pool), "m");
  tensors[1].tensor.mutable_data<fp16>()[2] = to_fp16(-0.4321f);
  const TemporaryCheckpoint saved(tensors);
  const Weight loaded = fast.load(*saved, "m", 4, 64, test_pool());
  EXPECT_TRUE(equal(fast.save(loaded, "m")[1].tensor, tensors[1].tensor));
  EXPECT_EQ(message_of([&] { awq("gemv").save(loaded, "m"); }),
            "tensor 'm.qzeros': cannot store this weight as AWQ (gemv): expected zeros that are "
            "codes");
}

TEST(AwqScheme, RoundsEachWeightToANeighbour) {
  ThreadPool pool(1);
  Tensor dense = gaussian(8, 64);
  for (float& x : dense.mutable_data<float>()) x += 5.0f;  // all on one side of 0
  for (const bool zero_point : {true, false}) {
    const Weight weight = awq("gemm", 32, zero_point).quantize(dense, pool);
    const Tensor decoded = weight.dequantize(DType::kF32);
    const auto scales = weight.as_affine_group().scales.data<float>();
    for (size_t i = 0; i < 8 * 64; ++i) {
      EXPECT_LE(std::fabs(decoded.data<float>()[i] - dense.data<float>()[i]),
                0.505f * scales[i / 32]);
    }
  }
}

TEST(AwqScheme, RefusesWhatAFormatCannotHold) {
  ThreadPool pool(1);
  const auto refused = [&](const AwqScheme& scheme, const Weight& weight) {
    return message_of([&] { scheme.save(weight, "m"); });
  };
  const std::string start = "tensor 'm.qweight': cannot store this weight as AWQ ";
  const Weight odd = awq("gemm", 48).quantize(gaussian(6, 96), pool);
  EXPECT_EQ(refused(awq("gemm"), odd),
            start + "(gemm): expected a multiple of 8 rows, got [6, 96] in groups of 48");
  EXPECT_EQ(refused(awq("gemv"), odd),
            start +
                "(gemv): expected a group size of 32, 64, or 128 and more, got [6, 96] in "
                "groups of 48");
  EXPECT_EQ(refused(awq("gemv_fast"), awq("gemm", 32).quantize(gaussian(6, 96), pool)),
            start +
                "(gemv_fast): expected multiples of 4 rows and 64 columns, got [6, 96] in "
                "groups of 32");
  EXPECT_EQ(refused(awq("gemv"), awq("gemm", 64).quantize(gaussian(8, 96), pool)),
            start + "(gemv): expected whole groups, got [8, 96] in groups of 64");
  EXPECT_EQ(refused(awq("marlin"), awq("gemm").quantize(gaussian(64, 64), pool)),
            start + "(marlin): expected symmetric groups, whose zero is 8");

  GptqConfig three;
  three.bits = 3;
  three.format = "gptq";
  EXPECT_EQ(refused(awq("gemm"), GptqScheme(three).quantize(gaussian(32, 32), pool)),
            start + "(gemm): expected codes of 4 bits, got 3");

  AffineGroup act_order = awq("gemm", 1).quantize(gaussian(8, 2), pool).as_affine_group();
  act_order.positions = Tensor::from<int32_t>({1, 0}, {2});
  EXPECT_EQ(refused(awq("gemm"), Weight::affine_group(act_order, 2, DType::kF16)),
            start +
                "(gemm): expected groups of neighbouring columns, got act-order (desc_act), "
                "which this format cannot say");

  AwqConfig three_bits;
  three_bits.bits = 3;
  three_bits.format = "gemm";
  EXPECT_EQ(message_of([&] { AwqScheme{three_bits}; }),
            "AWQ files have codes of 4 bits: expected 4, got 3");
}

TEST(AwqScheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  for (const char* format : kAllFormats) {
    const AwqScheme scheme = awq(format);
    const auto good = scheme.save(scheme.quantize(gaussian(64, 128), pool), "m");
    for (size_t part = 0; part < good.size(); ++part) {
      auto tensors = good;
      tensors[part].tensor = Tensor::zeros(DType::kU8, {3});
      const TemporaryCheckpoint saved(tensors);
      const std::string message =
          message_of([&] { scheme.load(*saved, "m", 64, 128, test_pool()); });
      EXPECT_NE(message.find("'" + good[part].name + "': tensor has the wrong dtype or shape"),
                std::string::npos)
          << format << ": " << message;
    }
  }
}

TEST(AwqScheme, TheListOfModulesIsAddedToTheHead) {
  AwqConfig config;
  config.format = "gemm";
  EXPECT_FALSE(AwqScheme(config).skip_modules().has_value());
  config.modules_to_not_convert = {"visual"};
  EXPECT_EQ(AwqScheme(config).skip_modules(), (std::vector<std::string>{"visual", "lm_head"}));
  EXPECT_EQ(AwqScheme(config).config_json()["modules_to_not_convert"].dump(), "[\"visual\"]");
}

}  // namespace
}  // namespace nibble
