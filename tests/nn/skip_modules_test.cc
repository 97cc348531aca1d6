// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/skip_modules.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

using Kind = ModuleInfo::Kind;
using Names = std::vector<std::string>;

ModuleInfo module_info(Kind kind, std::string name, bool bias = false, std::string tied_to = "") {
  return {kind, std::move(name), 8, 4, bias, false, std::move(tied_to)};
}

Names automatic(const std::vector<ModuleInfo>& modules, HfRelease release = HfRelease::kV5) {
  return automatic_skip_modules(names_of(modules), release);
}

TEST(NamesOf, UntiedKeepsTheHead) {
  const std::vector<ModuleInfo> modules = {module_info(Kind::kEmbedding, "model.embed_tokens"),
                                           module_info(Kind::kLinear, "model.layers.0.mlp.up_proj"),
                                           module_info(Kind::kParameter, "model.norm.weight"),
                                           module_info(Kind::kLinear, "lm_head")};
  EXPECT_EQ(automatic(modules), Names{"lm_head"});
  EXPECT_EQ(automatic(modules, HfRelease::kV4), Names{"lm_head"});
}

TEST(NamesOf, TiedKeepsTheGroupAndTheOwnerOfTheLastParameter) {
  const std::vector<ModuleInfo> modules = {
      module_info(Kind::kEmbedding, "model.embed_tokens"),
      module_info(Kind::kParameter, "model.norm.weight"),
      module_info(Kind::kLinear, "lm_head", false, "model.embed_tokens")};
  EXPECT_EQ(automatic(modules), (Names{"lm_head", "model.embed_tokens", "model.norm"}));
  EXPECT_EQ(automatic(modules, HfRelease::kV4),
            (Names{"lm_head", "model.embed_tokens", "model.norm"}));
}

TEST(NamesOf, ABiasIsTheLastParameterOfItsModule) {
  EXPECT_EQ(automatic({module_info(Kind::kLinear, "lm_head", true)}),
            (Names{"lm_head", "lm_head.bias"}));
}

}  // namespace
}  // namespace nibble
