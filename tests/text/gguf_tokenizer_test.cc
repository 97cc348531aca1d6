// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

std::shared_ptr<const Tokenizer> build(const GgufVocabulary& vocabulary) {
  const TokenizerFiles files = make_tokenizer_files(vocabulary, "test.gguf");
  return Tokenizer::from_json(files.tokenizer_json, "test.gguf", files.tokenizer_config_json);
}

GgufVocabulary byte_level() {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "smollm";
  v.tokens = {"<|end|>", "1", "2", "12", "a", "\u0120", "\u0120a"};
  v.token_types = {3, 1, 1, 1, 1, 1, 1};
  v.merges = {"1 2", "\u0120 a"};
  v.eos_token_id = 0;
  return v;
}

TEST(GgufTokenizer, ByteLevelSplitsAsItsNameSays) {
  GgufVocabulary v = byte_level();
  EXPECT_EQ(build(v)->encode("12 a<|end|>"), (Ids{1, 2, 6, 0}));
  v.pre = "gpt-2";
  EXPECT_EQ(build(v)->encode("12 a"), (Ids{3, 6}));
  EXPECT_EQ(build(v)->eos_token_id(), 0);
  EXPECT_EQ(build(v)->bos_token_id(), std::nullopt);
  EXPECT_TRUE(build(v)->is_special(0));
}

TEST(GgufTokenizer, EveryKnownNameBuilds) {
  for (const char* pre : {"",
                          "default",
                          "gpt-2",
                          "phi-2",
                          "mpt",
                          "olmo",
                          "smollm",
                          "starcoder",
                          "refact",
                          "command-r",
                          "codeshell",
                          "falcon",
                          "llama-bpe",
                          "llama3",
                          "llama-v3",
                          "dbrx",
                          "smaug-bpe",
                          "qwen2",
                          "deepseek-r1-qwen",
                          "stablelm2",
                          "tekken",
                          "gpt-4o",
                          "llama4"}) {
    GgufVocabulary v = byte_level();
    v.pre = pre;
    const auto tokenizer = build(v);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("a 12 a")), "a 12 a") << pre;
  }
}

TEST(GgufTokenizer, UnknownNameListsTheKnownOnes) {
  GgufVocabulary v = byte_level();
  v.pre = "nonsense";
  try {
    make_tokenizer_files(v, "test.gguf");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("llama-bpe"), std::string::npos) << error.what();
  }
}

GgufVocabulary sentencepiece() {
  GgufVocabulary v;
  v.model = "llama";
  v.tokens = {"<unk>", "<s>", "</s>", "<0x78>", "\u2581", "a", "b", "ab", "ba", "\u2581ab"};
  v.scores = {0, 0, 0, 0, -10, -11, -12, -2, -1, -3};
  v.token_types = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1};
  v.bos_token_id = 1;
  v.eos_token_id = 2;
  v.unk_token_id = 0;
  v.chat_template = "{{ x }}";
  return v;
}

TEST(GgufTokenizer, ScoresBecomeMerges) {
  const auto tokenizer = build(sentencepiece());
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{1, 9}));
  EXPECT_EQ(tokenizer->encode(" ab"), (Ids{1, 4, 9}));     // a space of its own in front
  EXPECT_EQ(tokenizer->encode("aba"), (Ids{1, 4, 5, 8}));  // "ba" has the better score
  EXPECT_EQ(tokenizer->encode("ax<s>z"), (Ids{1, 4, 5, 3, 1, 4, 0}));
  EXPECT_EQ(decode_both_ways(tokenizer, {1, 9, 4, 5}, {.skip_special_tokens = true}), "ab a");
  EXPECT_EQ(tokenizer->chat_template(), "{{ x }}");
  GgufVocabulary bare = sentencepiece();
  bare.add_bos = false;
  bare.add_eos = true;
  bare.add_space_prefix = false;
  EXPECT_EQ(build(bare)->encode("ab"), (Ids{7, 2}));
}

TEST(GgufTokenizer, RefusesBrokenVocabularies) {
  const auto refused = [](GgufVocabulary v, auto&& breaks) {
    breaks(v);
    EXPECT_THROW(make_tokenizer_files(v, "test.gguf"), Error);
  };
  refused(byte_level(), [](GgufVocabulary& v) { v.model = "bert"; });
  refused(byte_level(), [](GgufVocabulary& v) { v.tokens.clear(); });
  refused(byte_level(), [](GgufVocabulary& v) { v.token_types.pop_back(); });
  refused(byte_level(), [](GgufVocabulary& v) { v.tokens[1] = "\xFF"; });
  refused(byte_level(), [](GgufVocabulary& v) { v.merges[0] = "\xFF a"; });
  refused(byte_level(), [](GgufVocabulary& v) { v.eos_token_id = 7; });
  refused(byte_level(), [](GgufVocabulary& v) { v.eos_token_id = -1; });
  refused(byte_level(), [](GgufVocabulary& v) { v.chat_template = "\xFF"; });
  refused(sentencepiece(), [](GgufVocabulary& v) { v.scores.pop_back(); });
  refused(sentencepiece(),
          [](GgufVocabulary& v) { v.scores[5] = std::numeric_limits<float>::quiet_NaN(); });
  refused(sentencepiece(), [](GgufVocabulary& v) { v.tokens[5] = std::string(5000, 'a'); });
}

}  // namespace
}  // namespace nibble
