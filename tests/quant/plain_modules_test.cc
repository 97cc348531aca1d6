// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/plain_modules.h"

#include <gtest/gtest.h>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Names = std::vector<std::string>;

const Names kPlain = {"model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"};
const Names kPacked = {"model.layers.0.mlp.up_proj", "model.layers.0.self_attn.q_proj",
                       "model.layers.1.mlp.up_proj", "model.layers.1.self_attn.q_proj"};

template <typename Config>
Config config_leaving(Config config, const Names& plain) {
  return std::get<Config>(leaving_plain(std::move(config), plain, kPacked));
}

TEST(PlainModules, GptqNamesWhatIsPackedInEveryBlock) {
  EXPECT_EQ(config_leaving(GptqConfig(), kPlain).modules_in_block_to_quantize,
            (std::vector<Names>{{"mlp.up_proj", "self_attn.q_proj"}}));
  EXPECT_EQ(config_leaving(GptqConfig(), {}).modules_in_block_to_quantize, std::nullopt);
}

TEST(PlainModules, AwqAddsKindsToItsListAndPathsWhereSomeOfAKindArePacked) {
  AwqConfig config;
  EXPECT_EQ(config_leaving(config, kPlain).modules_to_not_convert, (Names{"mlp.down_proj"}));
  config.modules_to_not_convert = {"k_proj"};
  const std::string one = "model.layers.3.self_attn.q_proj";
  EXPECT_EQ(config_leaving(config, {one}).modules_to_not_convert, (Names{"k_proj", one}));
  // A packed path has the end of the kind's name.
  const std::string shared = "model.layers.3.attn.q_proj";
  EXPECT_EQ(config_leaving(AwqConfig(), {shared}).modules_to_not_convert, (Names{shared}));
  EXPECT_EQ(config_leaving(AwqConfig(), {}).modules_to_not_convert, std::nullopt);
}

TEST(PlainModules, Fp8KeepsTheHeadInItsList) {
  EXPECT_EQ(config_leaving(Fp8Config(), {kPlain[0]}).modules_to_not_convert,
            (Names{"lm_head", kPlain[0]}));
}

TEST(PlainModules, HqqAddsTagsThatHoldForAllBlocks) {
  EXPECT_EQ(config_leaving(HqqConfig(), kPlain).skip_modules, (Names{"lm_head", "mlp.down_proj"}));
}

TEST(PlainModules, AConfigThatIsAboutAllBlocksRefusesBlocksThatDiffer) {
  const Names plain = {"model.layers.3.self_attn.q_proj"};
  for (const QuantizationConfig& config :
       {QuantizationConfig(GptqConfig()), QuantizationConfig(HqqConfig())}) {
    try {
      leaving_plain(config, plain, kPacked);
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("model.layers.3.self_attn.q_proj"),
                std::string::npos)
          << error.what();
    }
  }
  EXPECT_EQ(config_leaving(AwqConfig(), plain).modules_to_not_convert, plain);
}

}  // namespace
}  // namespace nibble
