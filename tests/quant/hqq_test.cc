// SPDX-License-Identifier: Apache-2.0
//
// HQQ by itself, and against tests/golden/hqq.*: state dicts that the hqq library wrote
// (make_hqq_golden.py).
#include "nibble/quant/hqq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/io/json_file.h"
#include "nibble/quant/gptq.h"
#include "tests/quant/quant_testing.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

HqqScheme hqq(double nbits, int64_t axis, std::optional<int64_t> group_size = 16,
              bool view_as_float = false) {
  HqqConfig config;
  config.params.nbits = nbits;
  config.params.axis = axis;
  config.params.group_size = group_size;
  config.params.round_zero = nbits == 4;
  config.params.view_as_float = view_as_float;
  return HqqScheme(config);
}

Tensor bell(int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols));
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

bool alike(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

// As long as its zeros have not been solved for.
TEST(HqqScheme, CodesGoToAGptqFile) {
  HqqConfig config;
  config.params.optimize = false;
  config.params.group_size = 32;
  ThreadPool pool(1);
  const Tensor dense = bell(32, 64);
  const Weight weight = HqqScheme(config).quantize(dense, pool);
  GptqConfig gptq;
  gptq.group_size = 32;
  gptq.sym = false;
  gptq.format = "gptq_v2";
  const GptqScheme target(gptq);
  const TemporaryCheckpoint saved(target.save(weight, "m"));
  EXPECT_TRUE(alike(target.load(*saved, "m", 32, 64, pool).dequantize(DType::kF32),
                    weight.dequantize(DType::kF32)));
  gptq.group_size = 16;
  EXPECT_EQ(message_of([&] { GptqScheme(gptq).save(weight, "m"); }),
            "tensor 'm.qweight': cannot store this weight as GPTQ (gptq_v2): expected groups of "
            "16, got 32");
  config.params.optimize = true;
  EXPECT_EQ(message_of([&] { target.save(HqqScheme(config).quantize(dense, pool), "m"); }),
            "tensor 'm.qzeros': cannot store this weight as GPTQ (gptq_v2): expected zeros that "
            "are codes");
}

class HqqGolden : public ::testing::Test {
 protected:
  HqqScheme scheme_of(const Json& test) const {
    return hqq(test["params"]["nbits"], test["params"]["axis"]);
  }

  Checkpoint golden_ = Checkpoint::open(paths::golden("hqq.safetensors"));
  Json cases_ = read_json_file(paths::golden("hqq.json"))["cases"];
};

TEST_F(HqqGolden, StateDictsAreReadAndWrittenBack) {
  for (const Json& test : cases_) {
    const std::string name = test["name"];
    SCOPED_TRACE(name);
    const HqqScheme scheme = scheme_of(test);
    ASSERT_TRUE(scheme.is_packed(golden_, name));
    const Weight loaded = scheme.load(golden_, name, 32, 48, test_pool());
    EXPECT_TRUE(alike(loaded.dequantize(DType::kF32), golden_.tensor(name + "/decoded")));
    const std::vector<NamedTensor> saved = scheme.save(loaded, name);
    ASSERT_EQ(saved.size(), test["order"].size());
    for (size_t i = 0; i < saved.size(); ++i) {
      EXPECT_EQ(saved[i].name, name + "." + test["order"][i].get<std::string>());
      EXPECT_TRUE(alike(saved[i].tensor, golden_.tensor(saved[i].name))) << saved[i].name;
    }
  }
}

// Codes and scales to the bit. The library sums a group in another order, so that a zero can round
// to the neighbour of its own in float16, 2^-10 away.
TEST_F(HqqGolden, TheSolverFindsTheZerosOfTheLibrary) {
  ThreadPool pool(2);
  for (const Json& test : cases_) {
    const std::string name = test["name"];
    SCOPED_TRACE(name);
    const Tensor scale = golden_.tensor(name + ".scale");
    const Tensor dense = to_dtype(golden_.tensor("weight"), scale.dtype());
    const Weight weight = scheme_of(test).quantize(dense, pool);
    const Weight stored = scheme_of(test).load(golden_, name, 32, 48, test_pool());
    const AffineGroup &got = weight.as_affine_group(), &want = stored.as_affine_group();
    for (size_t i = 0; i < got.zeros.data<float>().size(); ++i) {
      const float zero = want.zeros.data<float>()[i];
      EXPECT_NEAR(got.zeros.data<float>()[i], zero, 0x1p-10f * std::fabs(zero) + 1e-6f);
    }
    EXPECT_TRUE(alike(got.scales, want.scales));
    EXPECT_TRUE(alike(got.codes, want.codes));
  }
}

TEST(HqqScheme, WeightsSurviveAFileAtAllBitsAndAxes) {
  ThreadPool pool(2);
  const Tensor dense = to_dtype(bell(32, 48), DType::kBF16);
  for (const double nbits : {8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.58, 1.0}) {
    for (const int64_t axis : {0, 1}) {
      for (const std::optional<int64_t> group_size : {std::optional<int64_t>(), {8}, {16}}) {
        for (const bool view_as_float : {false, true}) {
          const HqqScheme scheme = hqq(nbits, axis, group_size, view_as_float);
          const Weight weight = scheme.quantize(dense, pool);
          EXPECT_EQ(weight.dtype(), DType::kBF16);
          const TemporaryCheckpoint saved(scheme.save(weight, "m"));
          const Weight loaded = scheme.load(*saved, "m", 32, 48, test_pool());
          EXPECT_TRUE(alike(loaded.dequantize(DType::kF32), weight.dequantize(DType::kF32)))
              << nbits << " bits, axis " << axis;
        }
      }
    }
  }
}

TEST(HqqScheme, TheSolverLowersTheErrorOfRounding) {
  ThreadPool pool(2);
  const Tensor dense = bell(64, 64);
  for (const int64_t axis : {0, 1}) {
    double errors[2] = {};
    for (const bool optimize : {false, true}) {
      HqqConfig config;
      config.params.nbits = 3;
      config.params.axis = axis;
      config.params.round_zero = false;
      config.params.optimize = optimize;
      const Tensor back = HqqScheme(config).quantize(dense, pool).dequantize(DType::kF32);
      for (size_t i = 0; i < back.data<float>().size(); ++i) {
        errors[optimize] += std::abs(double{back.data<float>()[i]} - dense.data<float>()[i]);
      }
    }
    EXPECT_LT(errors[1], 0.99 * errors[0]);
  }
}

TEST(HqqScheme, BytesDoNotDependOnThreads) {
  ThreadPool one(1), many(5);
  const HqqScheme scheme = hqq(4, 1, 64);
  const Tensor dense = bell(320, 256);
  const auto expected = scheme.save(scheme.quantize(dense, one), "m");
  const auto got = scheme.save(scheme.quantize(dense, many), "m");
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(alike(got[i].tensor, expected[i].tensor));
}

TEST(HqqScheme, RefusesWhatItCannotGroup) {
  ThreadPool pool(1);
  EXPECT_EQ(message_of([&] { hqq(4, 1).quantize(bell(4, 24), pool); }),
            "hqq cannot group this matrix: expected columns that are a multiple of 16 and fill "
            "whole bytes, got [4, 24]");
  EXPECT_EQ(message_of([&] { hqq(4, 0).quantize(bell(24, 4), pool); }),
            "hqq cannot group this matrix: expected rows that are a multiple of 16 and fill whole "
            "bytes, got [24, 4]");
  Tensor dense = bell(16, 16);
  dense.mutable_data<float>()[1] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of([&] { hqq(4, 1).quantize(dense, pool); }),
            "weights are not finite: got 1 of 256 elements NaN or infinite, the first inf at [0, "
            "1]; the checkpoint is damaged or its training diverged");
  HqqConfig by_tag;
  by_tag.by_tag["self_attn.q_proj"] = {};
  EXPECT_EQ(message_of([&] { HqqScheme(by_tag).quantize(bell(64, 64), pool); }),
            "cannot quantize with this hqq config: expected one set of parameters for all modules, "
            "and groups");
  const Weight weight = hqq(4, 1).quantize(bell(16, 16), pool);
  EXPECT_EQ(message_of([&] { hqq(4, 0).save(weight, "m"); }),
            "tensor 'm.W_q': cannot store this weight as HQQ: expected codes of 4 bits in groups "
            "of 16 along axis 0, got [16, 16], 4 bits in groups of 16");
}

TEST(HqqScheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  const HqqScheme scheme = hqq(4, 1);
  const auto good = scheme.save(scheme.quantize(bell(16, 32), pool), "m");
  const auto refused = [&](const std::string& name, const Tensor& tensor) {
    auto tensors = good;
    for (NamedTensor& item : tensors) {
      if (item.name == "m." + name) item.tensor = tensor;
    }
    const TemporaryCheckpoint saved(tensors);
    return message_of([&] { scheme.load(*saved, "m", 16, 32, test_pool()); })
        .substr(saved.file().size());
  };
  EXPECT_EQ(refused("W_q", Tensor::zeros(DType::kU8, {16, 15})),
            ": tensor 'm.W_q': tensor has the wrong dtype or shape: expected uint8 [16, 16], got "
            "uint8 [16, 15]");
  EXPECT_EQ(refused("nbits", Tensor::from<int32_t>({7}, {})),
            ": tensor 'm.nbits': hqq has no codes of these bits: got 7");
  EXPECT_EQ(refused("shape", Tensor::from<int64_t>({32, 16}, {2})),
            ": tensor 'm.shape': quantized weight has the wrong shape: expected [16, 32], got "
            "[32, 16]");
  EXPECT_EQ(refused("group_size", Tensor::from<int32_t>({-16}, {})),
            ": tensor 'm.W_q': groups do not fit the weight: expected groups that divide a row "
            "(axis 1) or the rows (axis 0), got [16, 32] in groups of -16 along axis 1");
  EXPECT_EQ(refused("axis", Tensor::from<int32_t>({2}, {})),
            ": tensor 'm.W_q': groups do not fit the weight: expected groups that divide a row "
            "(axis 1) or the rows (axis 0), got [16, 32] in groups of 16 along axis 2");
  EXPECT_EQ(refused("scale", Tensor::zeros(DType::kF32, {31, 1})),
            ": tensor 'm.scale': tensor has the wrong dtype or shape: expected float16, bfloat16 "
            "or float32 [32, 1], got float32 [31, 1]");
  EXPECT_EQ(refused("quant_zero", Tensor::from<uint8_t>({1}, {})),
            ": tensor 'm.W_q': scales or zeros are quantized themselves, which hqq gave up; save "
            "the model once with hqq 0.2 or later");
}

}  // namespace
}  // namespace nibble
