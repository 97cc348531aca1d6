// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/scheme.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/quant/bnb4.h"
#include "nibble/quant/llm_int8.h"
#include "nibble/quant/registry.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

BitsAndBytesConfig config_4bit(const char* type, bool nested = false) {
  BitsAndBytesConfig config;
  config.load_in_4bit = true;
  config.bnb_4bit_quant_type = type;
  config.bnb_4bit_use_double_quant = nested;
  return config;
}

BitsAndBytesConfig config_8bit() {
  BitsAndBytesConfig config;
  config.load_in_8bit = true;
  return config;
}

std::vector<BitsAndBytesConfig> all_configs() {
  return {config_8bit(), config_4bit("nf4"), config_4bit("fp4"), config_4bit("nf4", true)};
}

Tensor random_matrix(int64_t rows, int64_t cols, DType dtype = DType::kF32) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols));
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return to_dtype(out, dtype);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

TEST(Scheme, WeightsSurviveAFileAtOddShapes) {
  ThreadPool pool(2);
  const Shape shapes[] = {{1, 1}, {1, 7}, {7, 1}, {3, 65}, {64, 64}, {129, 31}, {0, 4}, {4, 0}};
  for (const auto& config : all_configs()) {
    const auto scheme = make_scheme(config);
    for (const Shape& shape : shapes) {
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        const Tensor dense = random_matrix(shape[0], shape[1], dtype);
        const Weight weight = scheme->quantize(dense, pool);
        EXPECT_EQ(weight.dtype(), dtype);
        const TemporaryCheckpoint saved(scheme->save(weight, "model.up_proj"));
        EXPECT_TRUE(scheme->is_packed(*saved, "model.up_proj"));
        EXPECT_FALSE(scheme->is_packed(*saved, "model.down_proj"));
        const Weight loaded =
            scheme->load(*saved, "model.up_proj", shape[0], shape[1], test_pool());
        EXPECT_TRUE(same_bytes(loaded.dequantize(dtype), weight.dequantize(dtype)))
            << scheme->name() << to_string(shape);
        EXPECT_EQ(loaded.code_bytes(), weight.code_bytes());
        EXPECT_EQ(loaded.total_bytes(), weight.total_bytes());
      }
    }
  }
}

TEST(Scheme, BytesDoNotDependOnThreads) {
  ThreadPool one(1);
  ThreadPool many(5);
  const Tensor dense = random_matrix(301, 1021, DType::kBF16);  // several tasks, a short last tile
  for (const auto& config : all_configs()) {
    const auto scheme = make_scheme(config);
    const auto expected = scheme->save(scheme->quantize(dense, one), "m");
    const auto got = scheme->save(scheme->quantize(dense, many), "m");
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_TRUE(same_bytes(got[i].tensor, expected[i].tensor)) << got[i].name;
    }
  }
}

// The mean errors that bitsandbytes' own tests expect of N(0, 1), 1024 x 1024. Their limits are
// these plus seven standard deviations; ours are three on both sides.
TEST(Scheme, ErrorOfFourBitIsThatOfBitsandbytes) {
  struct Row {
    const char* type;
    int64_t blocksize;
    double error, deviation;
  };
  const Row rows[] = {
      {"nf4", 64, 0.072798, 7.4e-5},
      {"nf4", 4096, 0.092547, 3e-4},
      {"fp4", 64, 0.096543, 1.1e-4},
      {"fp4", 256, 0.108684, 2e-4},
  };
  ThreadPool pool(2);
  const Tensor dense = random_matrix(1024, 1024);
  for (const Row& row : rows) {
    BitsAndBytesConfig config = config_4bit(row.type);
    config.blocksize = row.blocksize;
    const Tensor back = make_scheme(config)->quantize(dense, pool).dequantize();
    double sum = 0;
    for (size_t i = 0; i < 1024 * 1024; ++i) {
      sum += std::abs(double{back.data<float>()[i]} - dense.data<float>()[i]);
    }
    EXPECT_NEAR(sum / (1024 * 1024), row.error, 3 * row.deviation) << row.type << row.blocksize;
  }
}

TEST(Scheme, RefusesWeightsThatAreNotFinite) {
  ThreadPool pool(2);
  Tensor dense = random_matrix(40, 70);
  dense.mutable_data<float>()[3 * 70 + 5] = std::numeric_limits<float>::quiet_NaN();
  dense.mutable_data<float>()[9 * 70] = -std::numeric_limits<float>::infinity();
  for (const auto& config : all_configs()) {
    EXPECT_EQ(message_of([&] { make_scheme(config)->quantize(dense, pool); }),
              "weights are not finite: got 2 of 2800 elements NaN or infinite, the first nan at "
              "[3, 5]; the checkpoint is damaged or its training diverged");
  }
}

TEST(Scheme, RefusesWhatIsNoFloatMatrix) {
  ThreadPool pool(1);
  for (const auto& config : all_configs()) {
    const auto scheme = make_scheme(config);
    EXPECT_EQ(message_of([&] { scheme->quantize(Tensor(), pool); }),
              "there is no weight to quantize");
    EXPECT_EQ(message_of([&] { scheme->quantize(Tensor::zeros(DType::kF32, {8}), pool); }),
              "cannot quantize this tensor: expected a matrix of float32, float16 or bfloat16, got "
              "float32 [8]");
    EXPECT_EQ(message_of([&] { scheme->quantize(Tensor::zeros(DType::kI8, {8, 8}), pool); }),
              "cannot quantize this tensor: expected a matrix of float32, float16 or bfloat16, got "
              "int8 [8, 8]");
  }
}

TEST(Scheme, SkipModulesAndConfigComeFromTheConfig) {
  for (auto config : all_configs()) {
    EXPECT_FALSE(make_scheme(config)->skip_modules().has_value());
    config.llm_int8_skip_modules = {"lm_head"};
    const auto scheme = make_scheme(config);
    EXPECT_EQ(scheme->skip_modules(), std::vector<std::string>{"lm_head"});
    EXPECT_EQ(scheme->config_json(), config.to_json());
  }
}

TEST(Scheme, SaveRefusesAnotherLayout) {
  const Weight dense = Weight::dense(Tensor::zeros(DType::kF32, {2, 2}));
  EXPECT_EQ(message_of([&] { make_scheme(config_4bit("nf4"))->save(dense, "a.b"); }),
            "tensor 'a.b.weight': cannot save this weight as NF4 or FP4: expected code_block, got "
            "dense");
  EXPECT_EQ(message_of([&] { make_scheme(config_8bit())->save(dense, "a.b"); }),
            "tensor 'a.b.weight': cannot save this weight as LLM.int8(): expected int8_row, got "
            "dense");
}

TEST(Scheme, PlainFloatModulesAreNotPacked) {
  const TemporaryCheckpoint plain(
      {{"m.weight", random_matrix(4, 4)}, {"weight", random_matrix(2, 2)}});
  for (const auto& config : all_configs()) {
    EXPECT_FALSE(make_scheme(config)->is_packed(*plain, "m"));
    EXPECT_FALSE(make_scheme(config)->is_packed(*plain, ""));
  }
}

TEST(LlmInt8Scheme, RefusesWeightsBeyondFloat16) {
  ThreadPool pool(2);
  Tensor dense = random_matrix(5, 6);
  dense.mutable_data<float>()[8] = 65519.0f;  // rounds to 65504
  EXPECT_EQ(make_scheme(config_8bit())->quantize(dense, pool).as_int8_row().absmax.data<float>()[1],
            65504.0f);
  dense.mutable_data<float>()[20] = -65520.0f;
  EXPECT_EQ(message_of([&] { make_scheme(config_8bit())->quantize(dense, pool); }),
            "weights are beyond the range of float16, in which LLM.int8() quantizes: expected "
            "magnitudes of at most 65504, got -65520 at [3, 2]; quantize this model to nf4 or fp4, "
            "or name the module in llm_int8_skip_modules");
}

TEST(LlmInt8Scheme, WritesInt8WhateverTheConfigSaysOfTraining) {
  BitsAndBytesConfig config = config_8bit();
  config.llm_int8_has_fp16_weight = true;
  EXPECT_EQ(make_scheme(config)->config_json()["llm_int8_has_fp16_weight"], false);
}

TEST(LlmInt8Scheme, TheThresholdOfTheConfigReachesTheWeight) {
  ThreadPool pool(1);
  BitsAndBytesConfig config = config_8bit();
  config.llm_int8_threshold = 4.5f;
  const auto scheme = make_scheme(config);
  const Weight weight = scheme->quantize(random_matrix(3, 4), pool);
  EXPECT_EQ(weight.llm_int8_threshold(), 4.5f);
  EXPECT_EQ(weight.activation_mode(), ActivationMode::kInt8);
  const TemporaryCheckpoint saved(scheme->save(weight, ""));
  EXPECT_EQ(scheme->load(*saved, "", 3, 4, test_pool()).llm_int8_threshold(), 4.5f);
}

// A saved module with one tensor replaced, added or left out.
using Tensors = std::vector<NamedTensor>;

Tensors with(Tensors tensors, const std::string& name, const Tensor& tensor) {
  std::erase_if(tensors, [&](const NamedTensor& item) { return item.name == name; });
  if (tensor.defined()) tensors.push_back({name, tensor});
  return tensors;
}

Tensor text_tensor(const std::string& text) {
  return Tensor::from<uint8_t>({text.begin(), text.end()}, {static_cast<int64_t>(text.size())});
}

struct Damage {
  const char* name;      // of the tensor that differs
  Tensor tensor;         // undefined: left out
  std::string expected;  // message after the file name
};

void expect_refused(const Scheme& scheme, const Tensors& good, const std::vector<Damage>& damages) {
  for (const Damage& damage : damages) {
    const TemporaryCheckpoint saved(with(good, damage.name, damage.tensor));
    EXPECT_EQ(message_of([&] { scheme.load(*saved, "m", 3, 5, test_pool()); }),
              saved.file() + ": " + damage.expected);
  }
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(LlmInt8Scheme, ReadsFilesWithoutWeightFormat) {
  ThreadPool pool(1);
  const auto scheme = make_scheme(config_8bit());
  const auto good = scheme->save(scheme->quantize(random_matrix(3, 5), pool), "m");
  const TemporaryCheckpoint saved(with(good, "m.weight_format", Tensor()));
  EXPECT_EQ(scheme->load(*saved, "m", 3, 5, test_pool()).rows(), 3);
}

TEST(LlmInt8Scheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  const auto scheme = make_scheme(config_8bit());
  const auto good = scheme->save(scheme->quantize(random_matrix(3, 5), pool), "m");
  expect_refused(
      *scheme, good,
      {{"m.weight", Tensor::zeros(DType::kI8, {5, 3}),
        "tensor 'm.weight': tensor has the wrong dtype or shape: expected int8 [3, 5], got int8 "
        "[5, 3]"},
       {"m.weight", Tensor::zeros(DType::kF16, {3, 5}),
        "tensor 'm.weight': tensor has the wrong dtype or shape: expected int8 [3, 5], got float16 "
        "[3, 5]"},
       {"m.SCB", Tensor::zeros(DType::kF32, {4}),
        "tensor 'm.SCB': tensor has the wrong dtype or shape: expected float32 [3], got float32 "
        "[4]"},
       {"m.SCB", Tensor::from<float>({1, 2, kInfinity}, {3}),
        "tensor 'm.SCB': tensor is not finite: got inf at index 2"},
       {"m.weight_format", Tensor::from<uint8_t>({2}, {}),
        "tensor 'm.weight_format': weight is stored in a tiled layout: expected 0 (row), got 2 "
        "(col_turing); load and save the model once with bitsandbytes 0.45 or later"},
       {"m.weight_format", Tensor::from<uint8_t>({9}, {}),
        "tensor 'm.weight_format': weight is stored in a tiled layout: expected 0 (row), got 9 "
        "(unknown); load and save the model once with bitsandbytes 0.45 or later"},
       {"m.weight_format", Tensor::zeros(DType::kF32, {}),
        "tensor 'm.weight_format': tensor has the wrong dtype or shape: expected uint8 [], got "
        "float32 []"}});
  const TemporaryCheckpoint without(with(good, "m.SCB", Tensor()));
  EXPECT_TRUE(scheme->is_packed(*without, "m"));
  const std::string message = message_of([&] { scheme->load(*without, "m", 3, 5, test_pool()); });
  EXPECT_NE(message.find("'m.SCB'"), std::string::npos) << message;
}

TEST(Bnb4Scheme, ReadsEveryStorageDtypePaddedOrNot) {
  ThreadPool pool(1);
  BitsAndBytesConfig config = config_4bit("nf4");
  for (const Shape& shape : {Shape{3, 5}, Shape{4, 32}}) {
    const Tensor dense = random_matrix(shape[0], shape[1]);
    const Weight weight = make_scheme(config)->quantize(dense, pool);
    for (const DType storage :
         {DType::kU8, DType::kI8, DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
      config.bnb_4bit_quant_storage = storage;
      const auto scheme = make_scheme(config);
      const auto tensors = scheme->save(weight, "m");
      const int64_t width = size_of(storage);
      EXPECT_EQ(tensors[0].tensor.dtype(), storage);
      EXPECT_EQ(tensors[0].tensor.shape(), (Shape{(weight.code_bytes() + width - 1) / width, 1}));
      const TemporaryCheckpoint saved(tensors);
      const Weight loaded = scheme->load(*saved, "m", shape[0], shape[1], test_pool());
      EXPECT_TRUE(same_bytes(loaded.as_code_block().codes, weight.as_code_block().codes));
    }
  }
}

TEST(Bnb4Scheme, TheTensorKnowsItsTypeAndBlockSize) {
  ThreadPool pool(1);
  BitsAndBytesConfig config = config_4bit("fp4");
  config.blocksize = 32;
  const Weight weight = make_scheme(config)->quantize(random_matrix(4, 40), pool);
  const auto tensors = make_scheme(config)->save(weight, "m");
  const TemporaryCheckpoint saved(tensors);
  const auto other = make_scheme(config_4bit("nf4", true));
  const auto again = other->save(other->load(*saved, "m", 4, 40, test_pool()), "m");
  ASSERT_EQ(again.size(), tensors.size());
  for (size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(again[i].name, tensors[i].name);
    EXPECT_TRUE(same_bytes(again[i].tensor, tensors[i].tensor));
  }
}

TEST(Bnb4Scheme, ReadsAnyPositiveBlockSize) {
  const std::string state =
      R"({"quant_type": "nf4", "blocksize": 7, "dtype": "float32", "shape": [3, 5]})";
  ThreadPool pool(1);
  const auto scheme = make_scheme(config_4bit("nf4"));
  auto tensors = scheme->save(scheme->quantize(random_matrix(3, 5), pool), "m");
  tensors = with(tensors, "m.weight.quant_state.bitsandbytes__nf4", text_tensor(state));
  tensors = with(tensors, "m.weight.absmax", Tensor::from<float>({1, 2, 3}, {3}));
  const TemporaryCheckpoint saved(tensors);
  EXPECT_EQ(scheme->load(*saved, "m", 3, 5, test_pool()).as_code_block().block_size, 7);
}

TEST(Bnb4Scheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  const auto scheme = make_scheme(config_4bit("nf4"));
  const auto good = scheme->save(scheme->quantize(random_matrix(3, 5), pool), "m");
  const char* const kState = "m.weight.quant_state.bitsandbytes__nf4";
  Tensor map = Tensor::zeros(DType::kF32, {16});
  map.mutable_data<float>()[4] = -kInfinity;
  expect_refused(
      *scheme, good,
      {{"m.weight", Tensor::zeros(DType::kU8, {9, 1}),
        "tensor 'm.weight': packed weight does not fit its shape: expected 8 bytes as [bytes / "
        "itemsize, 1], got uint8 [9, 1]"},
       {"m.weight", Tensor::zeros(DType::kU8, {4, 2}),
        "tensor 'm.weight': packed weight does not fit its shape: expected 8 bytes as [bytes / "
        "itemsize, 1], got uint8 [4, 2]"},
       {"m.weight", Tensor::zeros(DType::kI64, {1, 1}),
        "tensor 'm.weight': packed weight does not fit its shape: expected 8 bytes as [bytes / "
        "itemsize, 1], got int64 [1, 1]"},
       {"m.weight.absmax", Tensor::zeros(DType::kF32, {2}),
        "tensor 'm.weight.absmax': tensor has the wrong dtype or shape: expected float32 [1], got "
        "float32 [2]"},
       {"m.weight.absmax", Tensor::zeros(DType::kU8, {1}),
        "tensor 'm.weight.absmax': tensor has the wrong dtype or shape: expected float32 [1], got "
        "uint8 [1]"},
       {"m.weight.absmax", Tensor::from<float>({std::nanf("")}, {1}),
        "tensor 'm.weight.absmax': tensor is not finite: got nan at index 0"},
       {"m.weight.quant_map", Tensor::zeros(DType::kF32, {256}),
        "tensor 'm.weight.quant_map': tensor has the wrong dtype or shape: expected float32 [16], "
        "got float32 [256]"},
       {"m.weight.quant_map", map,
        "tensor 'm.weight.quant_map': tensor is not finite: got -inf at index 4"},
       {kState, Tensor(),
        "tensor 'm.weight': quantized weight needs one quant state: expected "
        "'m.weight.quant_state.bitsandbytes__nf4' or '..__fp4', got neither; the checkpoint was "
        "not saved by bitsandbytes, or not completely"},
       {"m.weight.quant_state.bitsandbytes__fp4", text_tensor("{}"),
        "tensor 'm.weight': quantized weight needs one quant state: expected "
        "'m.weight.quant_state.bitsandbytes__nf4' or '..__fp4', got both; the checkpoint was not "
        "saved by bitsandbytes, or not completely"},
       {kState, Tensor::zeros(DType::kF32, {4}),
        "tensor 'm.weight.quant_state.bitsandbytes__nf4': tensor has the wrong dtype or shape: "
        "expected uint8 [length], got float32 [4]"},
       {kState,
        text_tensor(
            R"({"quant_type": "fp4", "blocksize": 64, "dtype": "float32", "shape": [3, 5]})"),
        "tensor 'm.weight.quant_state.bitsandbytes__nf4': quant state differs from its name: "
        "expected nf4, got fp4"},
       {kState,
        text_tensor(
            R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [5, 3]})"),
        "tensor 'm.weight': quantized weight has the wrong shape: expected [3, 5], got [5, 3]"}});
}

TEST(Bnb4Scheme, LoadRefusesDamagedNestedModules) {
  ThreadPool pool(1);
  const auto scheme = make_scheme(config_4bit("nf4", true));
  const auto good = scheme->save(scheme->quantize(random_matrix(3, 5), pool), "m");
  Tensor map = Tensor::zeros(DType::kF32, {256});
  map.mutable_data<float>()[255] = kInfinity;
  expect_refused(
      *scheme, good,
      {{"m.weight.absmax", Tensor::zeros(DType::kF32, {1}),
        "tensor 'm.weight.absmax': tensor has the wrong dtype or shape: expected uint8 [1], got "
        "float32 [1]"},
       {"m.weight.nested_absmax", Tensor::zeros(DType::kF32, {0}),
        "tensor 'm.weight.nested_absmax': tensor has the wrong dtype or shape: expected float32 "
        "[1], got float32 [0]"},
       {"m.weight.nested_absmax", Tensor::from<float>({kInfinity}, {1}),
        "tensor 'm.weight.nested_absmax': tensor is not finite: got inf at index 0"},
       {"m.weight.nested_quant_map", Tensor::zeros(DType::kF32, {16}),
        "tensor 'm.weight.nested_quant_map': tensor has the wrong dtype or shape: expected float32 "
        "[256], got float32 [16]"},
       {"m.weight.nested_quant_map", map,
        "tensor 'm.weight.nested_quant_map': tensor is not finite: got inf at index 255"}});
}

TEST(Bnb4Scheme, AnUnknownTypeIsRefused) {
  EXPECT_EQ(message_of([] { Bnb4Scheme scheme(config_4bit("nf3")); }),
            "bnb_4bit_quant_type is unknown: expected \"nf4\" or \"fp4\", got \"nf3\"");
  BitsAndBytesConfig config;
  config.bnb_4bit_quant_type = "int4";
  EXPECT_EQ(message_of([&] { Bnb4Scheme scheme(config); }),
            "bnb_4bit_quant_type is unknown: expected \"nf4\" or \"fp4\", got \"int4\"");
}

}  // namespace
}  // namespace nibble
