// SPDX-License-Identifier: Apache-2.0
//
// Rotary frequencies against those of transformers (tests/golden/make_model_golden.py).
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "nibble/io/json_file.h"
#include "nibble/ops/rope.h"
#include "tests/ops/ops_testing.h"
#include "tests/testing/paths.h"

namespace nibble::testing {
namespace {

using Json = nlohmann::ordered_json;

RopeConfig config_of(const Json& test) {
  const Json& p = test["parameters"];
  RopeConfig rope;
  rope.rope_type = p["rope_type"];
  rope.rope_theta = p["rope_theta"];
  rope.max_position_embeddings = test["max_position_embeddings"];
  rope.original_max_position_embeddings = p.value("original_max_position_embeddings", int64_t{0});
  rope.factor = p.value("factor", 1.0);
  rope.low_freq_factor = p.value("low_freq_factor", 1.0);
  rope.high_freq_factor = p.value("high_freq_factor", 4.0);
  rope.beta_fast = p.value("beta_fast", 32.0);
  rope.truncate = p.value("truncate", true);
  if (p.contains("attention_factor")) rope.attention_factor = p["attention_factor"].get<double>();
  if (p.contains("mscale")) rope.mscale = p["mscale"].get<double>();
  if (p.contains("mscale_all_dim")) rope.mscale_all_dim = p["mscale_all_dim"].get<double>();
  return rope;
}

TEST(RopeFrequencies, EqualTransformers) {
  const Json tests = read_json_file(paths::golden("models/rope.json"));
  ASSERT_EQ(tests.size(), 13u);
  for (const Json& test : tests) {
    const RopeFrequencies got = rope_frequencies(config_of(test), test["head_dim"], test["length"]);
    EXPECT_FLOAT_EQ(got.attention_scaling, test["attention_scaling"].get<float>());
    const auto expected = test["inv_freq"].get<std::vector<float>>();
    ASSERT_EQ(got.inv_freq.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      // torch's vectorized pow() may be off by one in the last place, 2^-23 at most, and dynamic
      // and yarn use it twice or subtract.
      EXPECT_NEAR(got.inv_freq[i] / expected[i], 1.0, 4 * 0x1p-23) << test["parameters"] << i;
    }
  }
}

TEST(RopeFrequencies, OnlyDynamicDependsOnLength) {
  RopeConfig config;
  config.max_position_embeddings = 64;
  config.factor = 2.0;
  for (const char* type : {"default", "linear", "llama3", "yarn"}) {
    config.rope_type = type;
    EXPECT_EQ(rope_frequencies(config, 16, 1).inv_freq, rope_frequencies(config, 16, 999).inv_freq);
  }
  config.rope_type = "dynamic";
  EXPECT_EQ(rope_frequencies(config, 16, 1).inv_freq, rope_frequencies(config, 16, 64).inv_freq);
  const auto longer = rope_frequencies(config, 16, 128).inv_freq;
  EXPECT_EQ(longer[0], 1.0f);
  EXPECT_LT(longer[7], rope_frequencies(config, 16, 64).inv_freq[7]);
}

TEST(RopeFrequencies, PartialRotationHasFewer) {
  RopeConfig config;
  config.partial_rotary_factor = 0.5;
  EXPECT_EQ(rope_frequencies(config, 64, 1).inv_freq.size(), 16u);
}

TEST(RopeFrequencies, RefusesWhatHasNone) {
  RopeConfig config;
  EXPECT_EQ(message_of([&] { rope_frequencies(config, 9, 1); }),
            "rope needs an even number of rotated dimensions: expected 2 to 9, got 9");
  config.rope_type = "longrope";
  EXPECT_EQ(message_of([&] { rope_frequencies(config, 8, 1); }),
            "rope_type is not supported: expected default, linear, dynamic, llama3 or yarn, got "
            "longrope");
  config.rope_type = "linear";
  config.factor = 0.0;
  EXPECT_NE(message_of([&] {
              rope_frequencies(config, 8, 1);
            }).find("rope parameters give no finite frequencies"),
            std::string::npos);
}

}  // namespace
}  // namespace nibble::testing
