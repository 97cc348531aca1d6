// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/scaled_fp8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "nibble/base/float8.h"
#include "nibble/base/half.h"
#include "nibble/base/random.h"
#include "nibble/quant/quantization_config.h"
#include "nibble/quant/skip_modules.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;
using Values = std::vector<float>;

// A config as llm-compressor writes it, changed by a merge patch.
Json compressed_json(const char* patch = "{}") {
  Json json = Json::parse(R"({
      "config_groups": {"group_0": {
          "input_activations": {"dynamic": true, "num_bits": 8, "strategy": "token", "type": "float"},
          "output_activations": null,
          "targets": ["Linear"],
          "weights": {"actorder": null, "block_structure": null, "dynamic": false,
                      "group_size": null, "num_bits": 8, "observer": "minmax",
                      "observer_kwargs": {}, "strategy": "channel", "symmetric": true,
                      "type": "float"}}},
      "format": "float-quantized", "global_compression_ratio": 1.4, "ignore": ["lm_head"],
      "kv_cache_scheme": null, "quant_method": "compressed-tensors",
      "quantization_status": "frozen"})");
  json.merge_patch(Json::parse(patch));
  return json;
}

std::string weights_patch(const char* weights) {
  return std::string(R"({"config_groups": {"group_0": {"weights": )") + weights + "}}}";
}

ScaledFp8Scheme scheme_of(const char* weights) {
  return ScaledFp8Scheme(
      CompressedTensorsConfig::from_json(compressed_json(weights_patch(weights).c_str()), "f"));
}

Tensor scaled_fp8_matrix(int64_t rows, int64_t cols, DType dtype) {
  Random random(11);
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return to_dtype(out, dtype);
}

// The steps of compressed-tensors on each row, written down again.
TEST(ScaledFp8Scheme, RoundsQuotientsOfEachRow) {
  const Tensor dense = scaled_fp8_matrix(5, 33, DType::kBF16);
  const Tensor exact = to_dtype(dense, DType::kF32);
  const Weight weight = scheme_of("{}").quantize(dense, test_pool());
  const Float8Block& packed = weight.as_float8_block();
  ASSERT_EQ(packed.scales.shape(), (Shape{5, 1}));
  const auto rounded = [](float x) { return to_float(to_bf16(x)); };
  for (size_t r = 0; r < 5; ++r) {
    const auto row = exact.data<float>().subspan(r * 33, 33);
    float largest = 0;
    for (const float w : row) largest = std::max(largest, std::fabs(w));
    const float scale = rounded(largest / 448);
    EXPECT_EQ(packed.scales.data<float>()[r], scale);
    for (size_t c = 0; c < 33; ++c) {
      const float quotient = std::clamp(rounded(row[c] / scale), -448.0f, 448.0f);
      EXPECT_EQ(static_cast<const uint8_t*>(packed.codes.raw())[r * 33 + c],
                to_fp8_e4m3(quotient).bits);
    }
  }
  const Weight zeros = scheme_of("{}").quantize(Tensor::zeros(DType::kF32, {2, 3}), test_pool());
  EXPECT_EQ(zeros.as_float8_block().scales.data<float>()[1], 1.0f);
}

TEST(ScaledFp8Scheme, WeightsSurviveAFileInTheDtypeOfTheirScales) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const Tensor dense = scaled_fp8_matrix(64, 96, dtype);
    for (const auto& [weights, shape] :
         {std::pair("{}", Shape{64, 1}), std::pair(R"({"strategy": "tensor"})", Shape{1}),
          std::pair(R"({"strategy": "block",
                                                       "block_structure": [32, 64]})",
                    Shape{2, 2})}) {
      SCOPED_TRACE(weights);
      const ScaledFp8Scheme scheme = scheme_of(weights);
      const Weight weight = scheme.quantize(dense, test_pool());
      const std::vector<NamedTensor> tensors = scheme.save(weight, "m");
      ASSERT_EQ(tensors.size(), 2u);
      EXPECT_EQ(tensors[1].name, "m.weight_scale");
      EXPECT_EQ(tensors[1].tensor.shape(), shape);
      EXPECT_EQ(tensors[1].tensor.dtype(), dtype == DType::kBF16 ? DType::kBF16 : DType::kF32);
      const TemporaryCheckpoint saved(tensors);
      EXPECT_TRUE(scheme.is_packed(*saved, "m"));
      const Weight loaded = scheme.load(*saved, "m", 64, 96, test_pool());
      EXPECT_TRUE(std::ranges::equal(loaded.dequantize(DType::kF32).bytes(),
                                     weight.dequantize(DType::kF32).bytes()));
      const Tensor decoded = weight.dequantize(DType::kF32), exact = to_dtype(dense, DType::kF32);
      double error = 0, square = 0;
      for (size_t i = 0; i < 64 * 96; ++i) {
        const float w = exact.data<float>()[i], d = decoded.data<float>()[i] - w;
        error += double{d} * d, square += double{w} * w;
      }
      EXPECT_LT(std::sqrt(error / square), 0.03);  // half a step of 1/8
    }
  }
}

TEST(ScaledFp8Scheme, ReadsOneScaleInAnyShape) {
  const Tensor codes = Tensor::from<uint8_t>({0x38, 0x40, 0xb8, 0x7e}, {2, 2});  // 1, 2, -1, 448
  const auto load = [&](const ScaledFp8Scheme& scheme, const Tensor& scales) {
    const TemporaryCheckpoint saved({{"m.weight", codes.reinterpret(DType::kF8E4M3, {2, 2})},
                                     {"m.weight_scale", scales},
                                     {"m.input_scale", Tensor::from<float>({1}, {1})}});
    const Tensor values = scheme.load(*saved, "m", 2, 2, test_pool()).dequantize(DType::kF32);
    return Values(values.data<float>().begin(), values.data<float>().end());
  };
  const ScaledFp8Scheme rows = scheme_of("{}"), whole = scheme_of(R"({"strategy": "tensor"})");
  const ScaledFp8Scheme meta{FbgemmFp8Config{}};
  EXPECT_EQ(load(rows, Tensor::from<float>({0.5f, 2}, {2, 1})), (Values{0.5f, 1, -2, 896}));
  EXPECT_EQ(load(meta, Tensor::from<float>({0.5f, 2}, {2, 1})), (Values{0.5f, 1, -2, 896}));
  EXPECT_EQ(load(meta, to_dtype(Tensor::from<float>({0.5f, 2}, {2}), DType::kBF16)),
            (Values{0.5f, 1, -2, 896}));
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{1, 1}}) {
    EXPECT_EQ(load(whole, Tensor::from<float>({3}, shape)), (Values{3, 6, -3, 1344}));
  }
  EXPECT_NE(message_of([&] {
              load(rows, Tensor::from<float>({1}, {1}));
            }).find("tensor 'm.weight_scale': tensor has the wrong dtype or shape"),
            std::string::npos);
}

TEST(CompressedTensorsConfig, ReadsAndWritesWhatTheLibraryDoes) {
  const auto config = CompressedTensorsConfig::from_json(compressed_json(), "f");
  EXPECT_EQ(config.strategy, "channel");
  EXPECT_EQ(config.ignore, std::vector<std::string>{"lm_head"});
  EXPECT_EQ(config.input_activations.at("strategy"), "token");
  EXPECT_TRUE(config.notes.empty());
  EXPECT_EQ(CompressedTensorsConfig::from_json(config.to_json(), "f").to_json(), config.to_json());
  EXPECT_EQ(CompressedTensorsConfig::from_json(
                compressed_json(R"({"kv_cache_scheme": {"num_bits": 8}})"), "f")
                .notes.size(),
            1u);
  EXPECT_EQ(packed_size(config, 4, 6).bytes, 4 * 6 + 2 * 4);
}

TEST(CompressedTensorsConfig, IgnoresPathsAndExpressionsAsTheLibraryDoes) {
  const auto config = CompressedTensorsConfig::from_json(
      compressed_json(R"({"ignore": ["lm_head", "re:.*down", "re:model.layers.1[.]mlp"]})"), "f");
  const SkipMatcher skip(*config.skip_expressions());
  for (const char* path : {"lm_head", "model.layers.0.mlp.down_proj", "model.layers.1.mlp.up_proj"})
    EXPECT_TRUE(skip.skips(path)) << path;
  for (const char* path : {"a.lm_head", "model.layers.0.mlp.up_proj", "x.model.layers.1.mlp.up"})
    EXPECT_FALSE(skip.skips(path)) << path;
}

TEST(CompressedTensorsConfig, RefusesOtherKindsInOneLine) {
  const auto refused = [](const std::string& patch) {
    return message_of(
        [&] { CompressedTensorsConfig::from_json(compressed_json(patch.c_str()), "f"); });
  };
  const std::string kind =
      "f: this kind of compressed-tensors is not read here: expected float-quantized: symmetric "
      "floats of 8 bits per channel, tensor or block, got ";
  EXPECT_EQ(refused(weights_patch(R"({"type": "int", "num_bits": 4, "strategy": "group"})")),
            kind + "int of 4 bits per group");
  EXPECT_EQ(refused(weights_patch(R"({"symmetric": false})")),
            kind + "asymmetric float of 8 bits per channel");
  EXPECT_EQ(refused(R"({"format": "pack-quantized"})"), kind + "pack-quantized");
  EXPECT_EQ(refused(R"({"config_groups": {"group_1": {}}})"), kind + "2 groups of modules");
  EXPECT_EQ(refused(R"({"config_groups": {"group_0": {"weights": null}}})"),
            kind + "a group without weights");
  EXPECT_EQ(refused(R"({"sparsity_config": {"format": "sparse-24-bitmask"}})"),
            kind + "a 'sparsity_config'");
  EXPECT_EQ(refused(R"({"sparsity_config": {"format": "dense"}, "transform_config": {}})"),
            "no error");
  EXPECT_EQ(refused(R"({"config_groups": {"group_0": {"targets": ["re:.*mlp.*"]}}})"),
            "f: quantization_config has a bad 'config_groups.group_0.targets': expected "
            "[\"Linear\"], which is all that is read here, got [\"re:.*mlp.*\"]");
  EXPECT_EQ(refused(weights_patch(R"({"strategy": "block", "block_structure": [128]})")),
            "f: quantization_config has a bad 'config_groups.group_0.weights.block_structure': "
            "expected two positive numbers, got [128]");
  EXPECT_EQ(refused(R"({"config_groups": []})"),
            "f: quantization_config has a bad 'config_groups': expected an object with a group of "
            "modules, got []");
}

}  // namespace
}  // namespace nibble
