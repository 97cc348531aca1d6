// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/skip_modules.h"

#include <gtest/gtest.h>

#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

using Names = std::vector<std::string>;

// Expectations are those of should_convert_module() of transformers 5.23 and of the loop of 4.46.
TEST(SkipMatcher, FollowsBothReleases) {
  struct Case {
    const char* entry;
    const char* path;
    bool v4, v5;  // skipped
  };
  const Case cases[] = {
      {"lm_head", "lm_head", true, true},
      {"q_proj", "model.layers.0.self_attn.q_proj", true, true},
      {"model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj", true, true},
      {"model.layers.1", "model.layers.1.mlp.up_proj", true, true},
      {"model.layers.1", "model.layers.11.mlp.up_proj", false, false},
      {"mlp", "model.layers.1.mlp.up_proj", true, false},  // inside the path: release 4 only
      {"mlp.up_proj", "model.layers.1.mlp.up_proj", false, true},  // its end: release 5 only
      {"proj", "model.layers.1.mlp.up_proj", false, true},
      {"up", "model.layers.1.mlp.up_proj", false, false},
      {"head", "lm_head", false, true},
      {"head", "lm_head.decoder", true, false},
      {"model.layers.*.mlp", "model.layers.3.mlp.up_proj", false, true},
      {"model.layers.(1|2)", "model.layers.2.mlp.up_proj", false, true},
      {"a|b", "b.c", false, true},
      {"model.", "model.layers.0", false, true},  // ends behind a dot
      {R"(model\.layers\.\d+\.)", "model.layers.10.mlp", false, true},
      {"lm_head", "model.layers.0.mlp.up_proj", false, false},
      {"", "lm_head", false, true},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(std::string(test.entry) + " against " + test.path);
    EXPECT_EQ(SkipMatcher({"other", test.entry}, HfRelease::kV4).skips(test.path), test.v4);
    EXPECT_EQ(SkipMatcher({"other", test.entry}, HfRelease::kV5).skips(test.path), test.v5);
  }
  EXPECT_FALSE(SkipMatcher({}).skips("lm_head"));
}

TEST(SkipMatcher, RefusesWhatIsNoPatternAndWhatNeverEnds) {
  EXPECT_EQ(
      message_of([] { SkipMatcher({"lm_head", "*"}); }),
      "an entry of the list of skipped modules is no regular expression: expected the name of "
      "a module or a pattern for it, got \"*\"; quantifier does not follow a repeatable item");
  const SkipMatcher endless({"(a+a+)+$"});
  EXPECT_EQ(message_of([&] { endless.skips(std::string(64, 'a') + "b"); }),
            "an entry of the list of skipped modules cannot be matched: expected a pattern that "
            "does not backtrack without end, got \"(a+a+)+$\"");
}

TEST(AutomaticSkipModules, TakesTiedNamesLastParameterAndHead) {
  ModelNames names;
  names.tied = {{"lm_head.weight", "model.embed.weight"}, {"lm_head.bias", "bias"}};
  names.last_parameter = "model.norm.bias";
  names.output_embeddings = "lm_head";
  EXPECT_EQ(automatic_skip_modules(names, HfRelease::kV5),
            (Names{"bias", "lm_head", "lm_head.bias", "model.embed", "model.norm.bias"}));
  EXPECT_EQ(automatic_skip_modules(names, HfRelease::kV4),
            (Names{"bias", "lm_head", "model.embed", "model.norm"}));
  names.tied.clear();
  EXPECT_EQ(automatic_skip_modules(names, HfRelease::kV5), (Names{"lm_head", "model.norm.bias"}));
  EXPECT_EQ(automatic_skip_modules(names, HfRelease::kV4), Names{"lm_head"});
  names.output_embeddings.clear();
  EXPECT_EQ(automatic_skip_modules(names, HfRelease::kV5), Names{"model.norm.bias"});
  EXPECT_EQ(automatic_skip_modules(names, HfRelease::kV4), Names{"model.norm"});
}

TEST(ModulesToNotConvert, AnEmptyListDiffersFromNone) {
  using SkipList = QuantizationFacts::SkipList;
  ModelNames names;
  names.output_embeddings = "lm_head";
  QuantizationFacts facts;
  const auto list = [&](SkipList kind, std::optional<Names> given) {
    facts.skip_list = kind;
    facts.skip_modules = std::move(given);
    return modules_to_not_convert(facts, names, {"wo"}, HfRelease::kV5);
  };
  EXPECT_EQ(list(SkipList::kReplacesAutomatic, std::nullopt), (Names{"lm_head", "wo"}));
  EXPECT_EQ(list(SkipList::kReplacesAutomatic, Names{}), Names{"wo"});
  EXPECT_EQ(list(SkipList::kReplacesAutomatic, Names{"x"}), (Names{"wo", "x"}));
  EXPECT_EQ(list(SkipList::kExtendsAutomatic, Names{"x"}), (Names{"lm_head", "wo", "x"}));
  EXPECT_EQ(list(SkipList::kExtendsAutomatic, std::nullopt), (Names{"lm_head", "wo"}));
  EXPECT_EQ(list(SkipList::kNoAutomatic, Names{"x"}), Names{"x"});
}

}  // namespace
}  // namespace nibble
