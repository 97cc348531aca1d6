// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/skip_modules.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

using Kind = ModuleInfo::Kind;

TEST(ConvertModule, MatchesLeafPathAndEnclosingModule) {
  struct Case {
    const char* key;
    const char* path;
    bool convert;
  };
  const Case cases[] = {
      {"lm_head", "lm_head", false},
      {"q_proj", "model.layers.0.self_attn.q_proj", false},
      {"model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj", false},
      {"model.layers.1", "model.layers.1.mlp.up_proj", false},
      {"mlp", "model.layers.1.mlp.up_proj", false},
      {"mlp.up_proj", "model.layers.1.mlp.up_proj", false},
      {"model.layers.1", "model.layers.11.mlp.up_proj", true},
      {"up", "model.layers.1.mlp.up_proj", true},
      {"head", "lm_head", true},
      {"lm_head", "model.layers.0.mlp.up_proj", true},
      {"", "lm_head", true},
  };
  for (const Case& test : cases) {
    EXPECT_EQ(convert_module(test.path, {"other", test.key}), test.convert)
        << test.key << " against " << test.path;
  }
  EXPECT_TRUE(convert_module("lm_head", {}));
}

ModuleInfo module_info(Kind kind, std::string name, std::string tied_to = "") {
  return {kind, std::move(name), 8, 4, false, false, std::move(tied_to)};
}

TEST(AutomaticSkipModules, UntiedKeepsTheHead) {
  EXPECT_EQ(automatic_skip_modules({module_info(Kind::kEmbedding, "model.embed_tokens"),
                                    module_info(Kind::kLinear, "model.layers.0.mlp.up_proj"),
                                    module_info(Kind::kParameter, "model.norm.weight"),
                                    module_info(Kind::kLinear, "lm_head")}),
            std::vector<std::string>{"lm_head"});
}

TEST(AutomaticSkipModules, TiedKeepsTheGroupAndTheOwnerOfTheLastParameter) {
  EXPECT_EQ(automatic_skip_modules({module_info(Kind::kEmbedding, "model.embed_tokens"),
                                    module_info(Kind::kParameter, "model.norm.weight"),
                                    module_info(Kind::kLinear, "lm_head", "model.embed_tokens")}),
            (std::vector<std::string>{"lm_head", "model.embed_tokens", "model.norm"}));
}

}  // namespace
}  // namespace nibble
