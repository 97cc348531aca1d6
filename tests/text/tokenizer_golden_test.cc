// SPDX-License-Identifier: Apache-2.0
//
// Small tokenizers trained by tests/golden/make_tokenizer_golden.py against what the Hugging Face
// tokenizers library made of the same texts.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/testing/paths.h"
#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

class TokenizerGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, EqualsTheTokenizersLibrary) {
  std::ifstream file(paths::golden(std::string("tokenizer_") + GetParam() + ".json"));
  const auto golden = nlohmann::json::parse(file);
  const auto tokenizer = build(golden["tokenizer"]);
  ASSERT_GT(golden["cases"].size(), 20u);
  for (const auto& one : golden["cases"]) {
    const auto text = one["text"].get<std::string>();
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(ids, one["ids"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer->encode(text, {.add_special_tokens = false, .parse_special_tokens = false}),
              one["plain_ids"].get<Ids>())
        << text;
    if (one["decoded"].is_null()) continue;
    EXPECT_EQ(decode_both_ways(tokenizer, ids), one["decoded"][0].get<std::string>());
    EXPECT_EQ(decode_both_ways(tokenizer, ids, {.skip_special_tokens = true}),
              one["decoded"][1].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden,
                         ::testing::Values("byte_level", "sentencepiece", "metaspace", "words"));

}  // namespace
}  // namespace nibble
