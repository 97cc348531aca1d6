// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/gptq_packing.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

GptqConfig config_of(int64_t bits, int64_t group_size, bool sym, const char* format = "gptq") {
  GptqConfig config;
  config.bits = bits;
  config.group_size = group_size;
  config.sym = sym;
  config.format = format;
  return config;
}

Tensor normal_matrix(int64_t rows, int64_t cols, DType dtype = DType::kF32) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols));
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return to_dtype(out, dtype);
}

std::vector<NamedTensor> replaced(std::vector<NamedTensor> tensors, const std::string& name,
                                  const Tensor& tensor) {
  std::erase_if(tensors, [&](const NamedTensor& item) { return item.name == name; });
  if (tensor.defined()) tensors.push_back({name, tensor});
  return tensors;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

TEST(GptqScheme, WeightsSurviveAFileAtEveryBitsAndGroupSize) {
  ThreadPool pool(2);
  const Tensor dense = normal_matrix(32, 96, DType::kBF16);
  for (const int64_t bits : {2, 3, 4, 8}) {
    for (const int64_t group_size : {-1, 32, 64, 7, 1000}) {
      for (const bool sym : {true, false}) {
        const GptqScheme scheme(config_of(bits, group_size, sym, sym ? "gptq" : "gptq_v2"));
        const Weight weight = scheme.quantize(dense, pool);
        EXPECT_EQ(weight.dtype(), DType::kBF16);
        const TemporaryCheckpoint saved(scheme.save(weight, "m"));
        EXPECT_TRUE(scheme.is_packed(*saved, "m"));
        EXPECT_FALSE(scheme.is_packed(*saved, "n"));
        EXPECT_TRUE(scheme.remarks(*saved).empty());
        const Weight loaded = scheme.load(*saved, "m", 32, 96, test_pool());
        EXPECT_TRUE(same(loaded.dequantize(DType::kF32), weight.dequantize(DType::kF32)))
            << bits << " bits, group " << group_size << (sym ? ", sym" : "");
      }
    }
  }
}

// Rounding moves a weight by half a step at most; the step of 2^bits levels over the range of a
// group is at most twice its largest magnitude / (2^bits - 1). The outer level of a symmetric grid
// can be a whole step off, as it has one level less above 0 than below.
TEST(GptqScheme, RoundsEachWeightToANeighbour) {
  ThreadPool pool(2);
  const Tensor dense = normal_matrix(16, 64);
  for (const bool sym : {true, false}) {
    const Weight weight = GptqScheme(config_of(4, 16, sym)).quantize(dense, pool);
    const Tensor decoded = weight.dequantize(DType::kF32);
    const auto back = decoded.data<float>(), from = dense.data<float>();
    const auto scales = weight.as_affine_group().scales.data<float>();
    for (size_t i = 0; i < from.size(); ++i) {
      EXPECT_LE(std::fabs(back[i] - from[i]), (sym ? 1.001f : 0.505f) * scales[i / 16]) << i;
    }
  }
}

TEST(GptqScheme, ScalesAreWhatFilesHold) {
  ThreadPool pool(1);
  const Weight weight = GptqScheme(config_of(4, 32, false)).quantize(normal_matrix(8, 64), pool);
  const Tensor& scales = weight.as_affine_group().scales;
  EXPECT_TRUE(same(to_dtype(to_dtype(scales, DType::kF16), DType::kF32), scales));
}

TEST(GptqScheme, GroupsOfZerosAndOfOneSign) {
  ThreadPool pool(1);
  Tensor dense = Tensor::zeros(DType::kF32, {1, 32});
  const auto x = dense.mutable_data<float>();
  for (size_t i = 16; i < 32; ++i) x[i] = static_cast<float>(i - 16);
  for (const bool sym : {true, false}) {
    const Weight weight = GptqScheme(config_of(4, 16, sym)).quantize(dense, pool);
    const Tensor back = weight.dequantize(DType::kF32);
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(back.data<float>()[i], 0.0f);
    // Unlike the original, the symmetric grid reaches the largest weight of such a group.
    EXPECT_NEAR(back.data<float>()[31], 15.0f, sym ? 1.01f : 0.01f);
  }
}

TEST(GptqScheme, BytesDoNotDependOnThreads) {
  ThreadPool one(1), many(5);
  const Tensor dense = normal_matrix(320, 1024, DType::kBF16);
  const GptqScheme scheme(config_of(3, 128, false, "gptq_v2"));
  const auto expected = scheme.save(scheme.quantize(dense, one), "m");
  const auto got = scheme.save(scheme.quantize(dense, many), "m");
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same(got[i].tensor, expected[i].tensor));
}

TEST(GptqScheme, RefusesWeightsThatAreNotFiniteOrTooLarge) {
  ThreadPool pool(1);
  const GptqScheme scheme(config_of(4, 32, true));
  Tensor dense = normal_matrix(32, 32);
  dense.mutable_data<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { scheme.quantize(dense, pool); }),
            "weights are not finite: got 1 of 1024 elements NaN or infinite, the first nan at [1, "
            "8]; the checkpoint is damaged or its training diverged");
  dense.mutable_data<float>()[40] = 1e7f;
  EXPECT_EQ(message_of([&] { scheme.quantize(dense, pool); }),
            "weights are too large: their scales do not fit: expected scales in the range of "
            "float16; quantize this model to nf4 or fp4");
}

// One file in the four ways that exist of saying and storing symmetric zeros.
TEST(GptqScheme, ZerosOfASymmetricModelSayHowTheyAreStored) {
  ThreadPool pool(1);
  for (const int64_t bits : {2, 3, 4, 8}) {
    const GptqScheme v1(config_of(bits, 32, true)), v2(config_of(bits, 32, true, "gptq_v2"));
    const Weight weight = v1.quantize(normal_matrix(32, 64), pool);
    for (const GptqScheme* stored : {&v1, &v2}) {
      const TemporaryCheckpoint saved(stored->save(weight, "m"));
      for (const GptqScheme* said : {&v1, &v2}) {
        const Weight loaded = said->load(*saved, "m", 32, 64, test_pool());
        EXPECT_TRUE(same(loaded.dequantize(DType::kF32), weight.dequantize(DType::kF32)));
        EXPECT_EQ(said->remarks(*saved).empty(), said == stored);
      }
    }
    const TemporaryCheckpoint saved(v2.save(weight, "m"));
    EXPECT_EQ(v1.remarks(*saved)[0],
              "quantization_config says gptq, but zeros are stored as gptq_v2 does: they are read "
              "so");
  }
}

TEST(GptqScheme, ZerosOfZeroAreStoredAsGptqV2) {
  Tensor zeros = Tensor::zeros(DType::kU8, {32, 2});
  zeros.mutable_data<uint8_t>()[5] = 3;
  for (const int64_t bits : {2, 3, 4, 8}) {
    for (const GptqZeros form : {GptqZeros::kLessOne, GptqZeros::kAsTheyAre}) {
      EXPECT_TRUE(same(zeros_of_gptq(gptq_zero_words(zeros, bits, form), 32, bits, form), zeros));
    }
  }
  ThreadPool pool(1);
  Tensor positive = normal_matrix(32, 32);
  for (float& x : positive.mutable_data<float>()) x = std::fabs(x);
  const Weight weight = GptqScheme(config_of(4, 32, false)).quantize(positive, pool);
  EXPECT_EQ(message_of([&] { GptqScheme(config_of(4, 32, false)).save(weight, "m"); }),
            "tensor 'm.qzeros': cannot store this weight as GPTQ (gptq): expected zeros from 1 up, "
            "got 0, which readers of this format take for different numbers; gptq_v2 stores it");
  EXPECT_EQ(GptqScheme(config_of(4, 32, false, "gptq_v2")).save(weight, "m").size(), 4u);
}

TEST(GptqScheme, ReadsFilesWithoutGroupsOfColumnsAndNegativeOnes) {
  ThreadPool pool(1);
  const GptqScheme scheme(config_of(4, 32, true));
  const Weight weight = scheme.quantize(normal_matrix(32, 96), pool);
  const auto good = scheme.save(weight, "m");
  const TemporaryCheckpoint without(replaced(good, "m.g_idx", Tensor()));
  EXPECT_TRUE(same(scheme.load(*without, "m", 32, 96, test_pool()).dequantize(),
                   weight.dequantize(DType::kF16)));
  Tensor negative = Tensor::empty(DType::kI32, {96});
  for (size_t c = 0; c < 96; ++c)
    negative.mutable_data<int32_t>()[c] = static_cast<int32_t>(c / 32) - 3;
  const TemporaryCheckpoint wrapped(replaced(good, "m.g_idx", negative));
  const Weight loaded = scheme.load(*wrapped, "m", 32, 96, test_pool());
  EXPECT_FALSE(loaded.as_affine_group().positions.defined());
  EXPECT_TRUE(same(loaded.dequantize(), weight.dequantize(DType::kF16)));
}

TEST(GptqScheme, ActOrderComesBackExactly) {
  const Tensor g_idx = Tensor::from<int32_t>({1, 0, 2, 1, 0}, {5});
  const Tensor positions = positions_of_groups(g_idx, 3, 2);
  EXPECT_TRUE(same(positions, Tensor::from<int32_t>({2, 0, 4, 3, 1}, {5})));
  EXPECT_TRUE(same(groups_of_positions(positions, 5, 2), g_idx));
  EXPECT_FALSE(positions_of_groups(Tensor::from<int32_t>({0, 0, 1, 1, 2}, {5}), 3, 2).defined());
}

TEST(GptqScheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  const GptqScheme scheme(config_of(4, 32, true));
  const auto good = scheme.save(scheme.quantize(normal_matrix(32, 64), pool), "m");
  struct Damage {
    const char* name;
    Tensor tensor;
    const char* message;
  };
  Tensor scales = Tensor::zeros(DType::kF16, {2, 32});
  scales.mutable_data<fp16>()[33] = to_fp16(std::numeric_limits<float>::infinity());
  Tensor crowded = Tensor::zeros(DType::kI32, {64}), alien = Tensor::zeros(DType::kI32, {64});
  alien.mutable_data<int32_t>()[3] = 2;
  const Damage damages[] = {
      {"m.qweight", Tensor::zeros(DType::kI32, {32, 8}),
       "tensor 'm.qweight': tensor has the wrong dtype or shape: expected int32 [8, 32], got int32 "
       "[32, 8]"},
      {"m.qzeros", Tensor::zeros(DType::kI32, {2, 5}),
       "tensor 'm.qzeros': tensor has the wrong dtype or shape: expected int32 [2, 4], got int32 "
       "[2, 5]"},
      {"m.scales", Tensor::zeros(DType::kF16, {1, 32}),
       "tensor 'm.scales': tensor has the wrong dtype or shape: expected float16, bfloat16 or "
       "float32 [2, 32], got float16 [1, 32]"},
      {"m.scales", scales, "tensor 'm.scales': tensor is not finite: got inf at index 33"},
      {"m.g_idx", Tensor::zeros(DType::kI64, {64}),
       "tensor 'm.g_idx': tensor has the wrong dtype or shape: expected int32 [64], got int64 "
       "[64]"},
      {"m.g_idx", crowded,
       "tensor 'm.g_idx': g_idx gives a group too many columns: expected at most 32, got more in "
       "group 0"},
      {"m.g_idx", alien,
       "tensor 'm.g_idx': g_idx names a group that does not exist: expected groups of [0, 2), got "
       "2 at 3"},
  };
  for (const Damage& damage : damages) {
    const TemporaryCheckpoint saved(replaced(good, damage.name, damage.tensor));
    EXPECT_EQ(message_of([&] { scheme.load(*saved, "m", 32, 64, test_pool()); }),
              saved.file() + ": " + damage.message);
  }
  const TemporaryCheckpoint saved(good);
  EXPECT_EQ(message_of([&] { scheme.load(*saved, "m", 33, 64, test_pool()); }),
            saved.file() +
                ": tensor 'm.qweight': a matrix of this shape cannot be packed in whole words: got "
                "[33, 64], 4 bits");
}

TEST(GptqScheme, RulesGiveModulesOtherNumbers) {
  const auto json = nlohmann::ordered_json::parse(
      R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": true, "checkpoint_format": "gptq_v2",
          "dynamic": {"+:.*\\.0\\..*_proj": {"bits": 8, "group_size": 16, "sym": false, "mse": 2.4},
                      ".*\\.1\\.": {"bits": 2}, "-:.*up_proj": {},
                      "+:.*\\.1\\.": {"bits": 3}}})");
  const GptqConfig config = GptqConfig::from_json(json, "config.json");
  const GptqScheme scheme(config);
  struct Case {
    const char* module;
    int64_t bits, group_size;
    bool sym;
  };
  ThreadPool pool(1);
  const Tensor dense = normal_matrix(32, 64);
  for (const Case& test : {Case{"model.0.q_proj", 8, 16, false},
                           Case{"model.1.q_proj", 2, 32, true},  // the first rule that matches
                           Case{"model.2.q_proj", 4, 32, true},
                           Case{"model.0.up_proj", 4, 32, true}}) {  // "-:" comes first
    const GptqScheme plain(config_of(test.bits, test.group_size, test.sym, "gptq_v2"));
    const Weight weight = plain.quantize(dense, pool);
    const TemporaryCheckpoint saved(scheme.save(weight, test.module));
    EXPECT_TRUE(scheme.remarks(*saved).empty());
    const Weight loaded = scheme.load(*saved, test.module, 32, 64, pool);
    EXPECT_EQ(loaded.as_affine_group().bits, test.bits) << test.module;
    EXPECT_TRUE(same(loaded.dequantize(), weight.dequantize(DType::kF16))) << test.module;
  }
  const auto again = GptqConfig::from_json(config.to_json(), "config.json");
  EXPECT_EQ(again.to_json(), config.to_json());
  EXPECT_EQ(again.dynamic.size(), 3u);  // without the one that never holds
  EXPECT_EQ(again.dynamic[2].bits, 2);
  EXPECT_EQ(again.dynamic[0].pattern, ".*up_proj");
}

TEST(GptqScheme, RulesAreChecked) {
  const auto message = [](const char* rules) {
    const auto json = nlohmann::ordered_json::parse(
        R"({"quant_method": "gptq", "bits": 4, "dynamic": )" + std::string(rules) + "}");
    return message_of([&] { GptqScheme(GptqConfig::from_json(json, "f")); });
  };
  EXPECT_EQ(message(R"({"+:a": {"bits": 5}})"),
            "f: quantization_config has a bad 'dynamic.+:a.bits': expected 2, 3, 4 or 8, got 5");
  EXPECT_EQ(message(R"({"+:a": 4})"),
            "f: quantization_config has a bad 'dynamic.+:a': expected an object, got 4");
  EXPECT_EQ(message(R"([])"),
            "f: quantization_config has a bad 'dynamic': expected an object of rules, or null, got "
            "[]");
  EXPECT_NE(message(R"({"-:(": {}})").find("a rule of 'dynamic' is no regular expression"),
            std::string::npos);
}

TEST(GptqScheme, SaveRefusesWhatTheFormatCannotSay) {
  ThreadPool pool(1);
  const auto refused = [&](const GptqScheme& from, const GptqScheme& to, int64_t rows,
                           int64_t cols) {
    const Weight weight = from.quantize(normal_matrix(rows, cols), pool);
    return message_of([&] { to.save(weight, "m"); });
  };
  const GptqScheme four(config_of(4, 32, true)), three(config_of(3, 32, true)),
      marlin(config_of(4, 32, true, "marlin")), asym(config_of(4, 32, false, "gptq_v2"));
  EXPECT_EQ(refused(three, four, 32, 32),
            "tensor 'm.qweight': cannot store this weight as GPTQ (gptq): expected codes of 4 "
            "bits, got 3");
  EXPECT_EQ(refused(four, four, 30, 32),
            "tensor 'm.qweight': cannot store this weight as GPTQ (gptq): expected rows and "
            "columns that fill words of 32 bits, got [30, 32], 4 bits");
  EXPECT_EQ(refused(asym, marlin, 64, 32),
            "tensor 'm.B': cannot store this weight as GPTQ (marlin): expected symmetric groups, "
            "whose zero is 8");
  EXPECT_EQ(refused(four, marlin, 32, 32),
            "tensor 'm.B': cannot store this weight as GPTQ (marlin): expected multiples of 64 "
            "rows and 16 columns, and scales of 16 bits, got [32, 32], float16");
  EXPECT_EQ(message_of([&] { four.save(Weight::dense(Tensor::zeros(DType::kF32, {2, 2})), "m"); }),
            "tensor 'm.qweight': cannot store this weight as GPTQ (gptq): expected affine_group, "
            "got dense");
  EXPECT_EQ(message_of([] { GptqScheme(config_of(4, 32, true, "gptq_p")); }),
            "this format of GPTQ files is not read here: expected gptq, gptq_v2 or marlin, got "
            "gptq_p; its codes are planes of bits, of which GPTQModel alone is a reader");
}

TEST(GptqRules, OfBitsHoldForJustTheModulesNamed) {
  const std::map<std::string, int64_t> wanted = {{"model.layers.0.mlp.up_proj", 2},
                                                 {"model.layers.11.mlp.up_proj", 2},
                                                 {"model.layers.1.mlp.up_proj", 8},
                                                 {"model.layers.1.mlp.down_proj", 3},
                                                 {"lm_head", 8}};
  const std::vector<GptqRule> made = gptq_rules_of_bits(wanted);
  EXPECT_EQ(made.size(), 4u);  // two blocks share one
  EXPECT_EQ(gptq_rules_json(made).begin().key(), "+:model\\.layers\\.(?:0|11)\\.mlp\\.up_proj$");
  const GptqRules rules(made);
  for (const auto& [module, bits] : wanted) {
    const GptqRule* rule = rules.find(module);
    ASSERT_NE(rule, nullptr) << module;
    EXPECT_EQ(rule->bits, bits) << module;
  }
  for (const char* other : {"model.layers.10.mlp.up_proj", "model.layers.2.mlp.up_proj",
                            "model.layers.1.mlp.up_proj.x", "model.layers.1.mlp.gate_proj"}) {
    EXPECT_EQ(rules.find(other), nullptr) << other;
  }
}

}  // namespace
}  // namespace nibble
