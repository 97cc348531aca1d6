// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/bitsandbytes_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/quant/registry.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

BitsAndBytesConfig read(const std::string& json) {
  return BitsAndBytesConfig::from_json(Json::parse(json), "config.json");
}

TEST(BitsAndBytesConfig, AnEmptyObjectHasTheDefaultsOfTransformers) {
  const BitsAndBytesConfig config = read("{}");
  EXPECT_FALSE(config.load_in_8bit);
  EXPECT_FALSE(config.load_in_4bit);
  EXPECT_EQ(config.llm_int8_threshold, 6.0f);
  EXPECT_FALSE(config.llm_int8_skip_modules.has_value());
  EXPECT_FALSE(config.llm_int8_enable_fp32_cpu_offload);
  EXPECT_FALSE(config.llm_int8_has_fp16_weight);
  EXPECT_EQ(config.bnb_4bit_compute_dtype, DType::kF32);
  EXPECT_EQ(config.bnb_4bit_quant_type, "fp4");
  EXPECT_FALSE(config.bnb_4bit_use_double_quant);
  EXPECT_EQ(config.bnb_4bit_quant_storage, DType::kU8);
  EXPECT_EQ(config.blocksize, 64);
}

TEST(BitsAndBytesConfig, WritesWhatTransformersSaves) {
  BitsAndBytesConfig config;
  config.load_in_4bit = true;
  config.bnb_4bit_quant_type = "nf4";
  config.bnb_4bit_use_double_quant = true;
  config.bnb_4bit_compute_dtype = DType::kBF16;
  EXPECT_EQ(config.to_json().dump(2), R"({
  "_load_in_4bit": true,
  "_load_in_8bit": false,
  "bnb_4bit_compute_dtype": "bfloat16",
  "bnb_4bit_quant_storage": "uint8",
  "bnb_4bit_quant_type": "nf4",
  "bnb_4bit_use_double_quant": true,
  "llm_int8_enable_fp32_cpu_offload": false,
  "llm_int8_has_fp16_weight": false,
  "llm_int8_skip_modules": null,
  "llm_int8_threshold": 6.0,
  "load_in_4bit": true,
  "load_in_8bit": false,
  "quant_method": "bitsandbytes"
})");
}

TEST(BitsAndBytesConfig, EveryFieldSurvivesTheRoundTrip) {
  const std::string text =
      R"({"_load_in_4bit":false,"_load_in_8bit":true,"bnb_4bit_compute_dtype":"float16",)"
      R"("bnb_4bit_quant_storage":"float64","bnb_4bit_quant_type":"nf4",)"
      R"("bnb_4bit_use_double_quant":true,"llm_int8_enable_fp32_cpu_offload":true,)"
      R"("llm_int8_has_fp16_weight":true,"llm_int8_skip_modules":["lm_head","a.b"],)"
      R"("llm_int8_threshold":6.1,"load_in_4bit":false,"load_in_8bit":true,)"
      R"("quant_method":"bitsandbytes"})";
  EXPECT_EQ(read(text).to_json().dump(), text);
}

TEST(BitsAndBytesConfig, UnknownKeysAndPrivateTwinsAreIgnored) {
  const BitsAndBytesConfig config =
      read(R"({"_load_in_4bit": true, "_load_in_8bit": true, "new_in_2030": [1]})");
  EXPECT_FALSE(config.load_in_4bit);
  EXPECT_FALSE(config.load_in_8bit);
}

TEST(BitsAndBytesConfig, NullMeansTheDefaultWhereTransformersAllowsIt) {
  const BitsAndBytesConfig config =
      read(R"({"llm_int8_skip_modules": null, "bnb_4bit_compute_dtype": null,
               "bnb_4bit_quant_storage": null})");
  EXPECT_EQ(config.to_json(), BitsAndBytesConfig().to_json());
}

TEST(BitsAndBytesConfig, RefusesWithTheKey) {
  struct Row {
    const char* json;
    const char* message;
  };
  const Row rows[] = {
      {R"([1])", "quantization_config is not an object: got [1]"},
      {R"({"load_in_4bit": 1})",
       "quantization_config has a bad 'load_in_4bit': expected a boolean, got 1"},
      {R"({"load_in_8bit": null})",
       "quantization_config has a bad 'load_in_8bit': expected a boolean, got null"},
      {R"({"load_in_4bit": true, "load_in_8bit": true})",
       "load_in_4bit and load_in_8bit are both True; set one of them"},
      {R"({"llm_int8_threshold": 6})",
       "quantization_config has a bad 'llm_int8_threshold': expected a float, got 6"},
      {R"({"llm_int8_threshold": -1.0})",
       "llm_int8_threshold is out of range: expected a finite number of at least 0, got -1"},
      {R"({"llm_int8_threshold": 1e300})",
       "llm_int8_threshold is out of range: expected a finite number of at least 0, got inf"},
      {R"({"llm_int8_skip_modules": "lm_head"})",
       "quantization_config has a bad 'llm_int8_skip_modules': expected a list of strings or null, "
       "got \"lm_head\""},
      {R"({"llm_int8_skip_modules": ["lm_head", 3]})",
       "quantization_config has a bad 'llm_int8_skip_modules': expected a list of strings or null, "
       "got [\"lm_head\",3]"},
      {R"({"llm_int8_enable_fp32_cpu_offload": "yes"})",
       "quantization_config has a bad 'llm_int8_enable_fp32_cpu_offload': expected a boolean, got "
       "\"yes\""},
      {R"({"llm_int8_has_fp16_weight": 0})",
       "quantization_config has a bad 'llm_int8_has_fp16_weight': expected a boolean, got 0"},
      {R"({"bnb_4bit_compute_dtype": "int8"})",
       "quantization_config has a bad 'bnb_4bit_compute_dtype': expected the name of a float dtype "
       "or null, got \"int8\""},
      {R"({"bnb_4bit_compute_dtype": 16})",
       "quantization_config has a bad 'bnb_4bit_compute_dtype': expected the name of a float dtype "
       "or null, got 16"},
      {R"({"bnb_4bit_quant_type": 4})",
       "quantization_config has a bad 'bnb_4bit_quant_type': expected a string, got 4"},
      {R"({"bnb_4bit_use_double_quant": []})",
       "quantization_config has a bad 'bnb_4bit_use_double_quant': expected a boolean, got []"},
      {R"({"bnb_4bit_quant_storage": "int64"})",
       "quantization_config has a bad 'bnb_4bit_quant_storage': expected \"float16\", \"float32\", "
       "\"int8\", \"uint8\", \"float64\" or \"bfloat16\", got \"int64\""},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(message_of([&] { read(row.json); }), std::string("config.json: ") + row.message);
  }
}

TEST(BitsAndBytesConfig, ValidateChecksWhatOnlyCodeCanSet) {
  BitsAndBytesConfig config;
  for (const int64_t blocksize : {-64, 0, 16, 48, 8192}) {
    config.blocksize = blocksize;
    EXPECT_EQ(
        message_of([&] { config.validate(); }),
        "block size is not one of bitsandbytes: expected 32, 64, 128, 256, 512, 1024, 2048 or "
        "4096, got " +
            std::to_string(blocksize));
  }
  config = {};
  config.bnb_4bit_quant_storage = DType::kI64;
  EXPECT_EQ(message_of([&] { config.validate(); }),
            "bnb_4bit_quant_storage cannot hold packed weights: expected \"float16\", \"float32\", "
            "\"int8\", \"uint8\", \"float64\" or \"bfloat16\", got \"int64\"");
  config = {};
  config.bnb_4bit_compute_dtype = DType::kI8;
  EXPECT_EQ(message_of([&] { config.validate(); }),
            "bnb_4bit_compute_dtype cannot be computed in: expected a float dtype, got \"int8\"");
}

TEST(Registry, DispatchesAsTransformers) {
  struct Row {
    const char* json;
    const char* name;
  };
  const Row rows[] = {
      {R"({"load_in_8bit": true, "quant_method": "bitsandbytes"})", "int8"},
      {R"({"load_in_4bit": true, "quant_method": "bitsandbytes"})", "fp4"},
      {R"({"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"})", "nf4"},
      {R"({"load_in_8bit": true, "quant_method": "anything"})", "int8"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(make_scheme(Json::parse(row.json), "config.json")->name(), row.name) << row.json;
  }
}

TEST(Registry, RefusesWhatItDoesNotKnow) {
  struct Row {
    const char* json;
    const char* message;
  };
  const Row rows[] = {
      {"3", "quantization_config is not an object: got 3"},
      {"{}", "quantization_config has no 'quant_method'"},
      {R"({"quant_method": 7})",
       "quantization method is not known: expected one of awq, bitsandbytes, compressed-tensors, "
       "eetq, fbgemm_fp8, fp8, gptq, "
       "group-int8, hqq, got 7"},
      {R"({"load_in_4bit": true, "bnb_4bit_quant_type": "nf3"})",
       "bnb_4bit_quant_type is unknown: expected \"nf4\" or \"fp4\", got \"nf3\""},
      {R"({"quant_method": "bitsandbytes"})",
       "neither load_in_8bit nor load_in_4bit is True; set one of them"},
      {R"({"quant_method": "bitsandbytes", "load_in_4bit": "true"})",
       "quantization_config has a bad 'load_in_4bit': expected a boolean, got \"true\""},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(message_of([&] { make_scheme(Json::parse(row.json), "config.json"); }),
              std::string("config.json: ") + row.message);
  }
}

}  // namespace
}  // namespace nibble
