// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

using nlohmann::json;

json special(int id, const char* content) {
  return {{"id", id}, {"content", content}, {"normalized", false}, {"special", true}};
}

TEST(Bpe, MergesInTheOrderOfTheList) {
  const auto tokenizer = build(plain_tokenizer_json());
  EXPECT_EQ(tokenizer->encode("abcab"), (Ids{4, 3}));
  EXPECT_EQ(tokenizer->encode("bc"), (Ids{1, 2}));
  EXPECT_EQ(tokenizer->encode(""), Ids{});
  EXPECT_EQ(tokenizer->encode("axb"), (Ids{3}));  // without unk_token unknown characters vanish
}

TEST(Bpe, BothSpellingsOfMerges) {
  json pairs = plain_tokenizer_json();
  pairs["model"]["merges"] = json::parse(R"([["a", "b"], ["ab", "c"]])");
  EXPECT_EQ(build(pairs)->encode("abc"), (Ids{4}));
  json with_spaces = plain_tokenizer_json();
  with_spaces["model"]["vocab"]["  "] = 8;
  with_spaces["model"]["merges"] = json::array({"   "});  // " " and " "
  EXPECT_EQ(build(with_spaces)->encode("  a"), (Ids{8, 0}));
}

TEST(Bpe, UnknownCharacters) {
  json options = plain_tokenizer_json();
  options["model"]["unk_token"] = "<s>";
  EXPECT_EQ(build(options)->encode("axya"), (Ids{0, 6, 6, 0}));
  options["model"]["fuse_unk"] = true;
  EXPECT_EQ(build(options)->encode("axyaz"), (Ids{0, 6, 0, 6}));
  options["model"]["byte_fallback"] = true;
  options["model"]["vocab"]["<0x78>"] = 8;
  EXPECT_EQ(build(options)->encode("ax"), (Ids{0, 8}));
  EXPECT_EQ(build(options)->encode("a\u0178"), (Ids{0, 6}));  // not all of its bytes are there
}

TEST(Bpe, PrefixAndSuffix) {
  json options = plain_tokenizer_json();
  options["model"]["continuing_subword_prefix"] = "##";
  options["model"]["end_of_word_suffix"] = "!";
  options["model"]["vocab"] = {{"a", 0},  {"##b", 1},  {"##c!", 2},
                               {"ab", 3}, {"abc!", 4}, {"a!", 5}};
  options["model"]["merges"] = {"a ##b", "ab ##c!"};
  EXPECT_EQ(build(options)->encode("abc"), (Ids{4}));
  EXPECT_EQ(build(options)->encode("a"), (Ids{5}));
}

TEST(Bpe, IgnoreMergesTakesWholeWords) {
  json options = plain_tokenizer_json();
  options["model"]["vocab"]["cab"] = 8;
  EXPECT_EQ(build(options)->encode("cab"), (Ids{2, 3}));
  options["model"]["ignore_merges"] = true;
  EXPECT_EQ(build(options)->encode("cab"), (Ids{8}));
}

// The definition, spelled out: merge the first pair of the lowest rank until there is none.
std::vector<std::string> merge_slowly(
    std::vector<std::string> symbols,
    const std::vector<std::pair<std::string, std::string>>& merges) {
  for (bool merged = true; merged;) {
    merged = false;
    for (const auto& [left, right] : merges) {
      for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
        if (symbols[i] != left || symbols[i + 1] != right) continue;
        symbols[i] += right;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return symbols;
}

TEST(Bpe, EqualsItsDefinitionOnWordsOfAllLengths) {
  std::mt19937 random(11);
  std::vector<std::string> tokens = {"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  json options = plain_tokenizer_json();
  options["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"c", 2}};
  options["model"]["merges"] = json::array();
  while (tokens.size() < 40) {
    const std::string left = tokens[random() % tokens.size()],
                      right = tokens[random() % tokens.size()];
    const std::string both = left + right;
    if (both.size() > 6 || options["model"]["vocab"].contains(both)) continue;
    options["model"]["vocab"][both] = tokens.size();
    options["model"]["merges"].push_back({left, right});
    tokens.push_back(both);
    merges.emplace_back(left, right);
  }
  const auto tokenizer = build(options);
  for (size_t length : {1, 2, 3, 10, 47, 48, 49, 50, 200, 500}) {
    std::vector<std::string> symbols;
    std::string word;
    for (size_t i = 0; i < length; ++i) {
      symbols.emplace_back(1, "abc"[random() % 3]);
      word += symbols.back();
    }
    Ids expected;
    for (const std::string& symbol : merge_slowly(symbols, merges)) {
      expected.push_back(*tokenizer->token_to_id(symbol));
    }
    EXPECT_EQ(tokenizer->encode(word), expected) << word;
  }
}

TEST(Bpe, WordsOfAMillionCharactersTakeNoTime) {
  const auto tokenizer = build(plain_tokenizer_json());
  std::string word;
  for (int i = 0; i < 350000; ++i) word += "abc";
  EXPECT_EQ(tokenizer->encode(word), Ids(350000, 4));
}

TEST(Tokenizer, AddedTokensAreFoundBeforeTheModel) {
  json options = plain_tokenizer_json();
  options["added_tokens"] = {special(6, "<s>"), special(8, "<s>>")};
  const auto tokenizer = build(options);
  EXPECT_EQ(tokenizer->encode("a<s>b"), (Ids{0, 6, 1}));
  EXPECT_EQ(tokenizer->encode("<s>>a"), (Ids{8, 0}));  // the longest one
  EXPECT_EQ(tokenizer->vocab_size(), 9);
  EXPECT_TRUE(tokenizer->is_special(8));
  EXPECT_FALSE(tokenizer->is_special(0));
}

TEST(Tokenizer, SpecialTokensInUserTextStayText) {
  json options = plain_tokenizer_json();
  options["added_tokens"] = {special(6, "<s>"),
                             {{"id", 11}, {"content", "tool"}, {"normalized", false}}};
  options["model"]["vocab"]["<"] = 8;
  options["model"]["vocab"]["s"] = 9;
  options["model"]["vocab"][">"] = 10;
  const auto tokenizer = build(options);
  const EncodeOptions plain{.parse_special_tokens = false};
  EXPECT_EQ(tokenizer->encode("a<s>b", plain), (Ids{0, 8, 9, 10, 1}));
  EXPECT_EQ(tokenizer->encode("atoolb", plain), (Ids{0, 11, 1}));  // not special: always found
}

TEST(Tokenizer, StripFlagsTakeWhiteSpaceAlong) {
  json options = plain_tokenizer_json();
  json token = special(8, "<m>");
  token["lstrip"] = token["rstrip"] = true;
  options["added_tokens"] = json::array({token});
  EXPECT_EQ(build(options)->encode("a  <m> <m>  b"), (Ids{0, 8, 8, 1}));
}

// A token that takes spaces to its left has nothing left of those that the token before it took.
TEST(Tokenizer, SpacesGoToOneTokenOnly) {
  json options = plain_tokenizer_json();
  json eager = {{"id", 8}, {"content", "<m>"}, {"normalized", false}, {"rstrip", true}};
  json space = {{"id", 5}, {"content", " "}, {"normalized", false}};
  space["lstrip"] = true;
  options["added_tokens"] = json::array({eager, space});
  EXPECT_EQ(build(options)->encode("a<m> b"), (Ids{0, 8, 1}));
  options["added_tokens"][1]["rstrip"] = true;
  EXPECT_EQ(build(options)->encode("a<m>  b"), (Ids{0, 8, 1}));
}

TEST(Tokenizer, AddedTokensComeBehindPiecesThatAreListedTwice) {
  json options = plain_tokenizer_json();
  options["model"] = json::parse(
      R"({"type": "Unigram", "unk_id": 0, "vocab": [["?", 0.0], ["a", -1.0], ["a", -2.0]]})");
  options["added_tokens"] = json::array({special(3, "<s>")});
  EXPECT_EQ(build(options)->encode("a<s>"), (Ids{2, 3}));
}

TEST(Tokenizer, SingleWordTokensStandAlone) {
  json options = plain_tokenizer_json();
  options["added_tokens"] = {{{"id", 8}, {"content", "ab"}, {"single_word", true}}};
  const auto tokenizer = build(options);
  EXPECT_EQ(tokenizer->token_to_id("ab"), 3);  // it is in the vocabulary already
  EXPECT_EQ(tokenizer->encode("ab abc"), (Ids{3, 5, 4}));
  EXPECT_EQ(tokenizer->encode("c ab"), (Ids{2, 5, 3}));
}

TEST(Tokenizer, NormalizedTokensMatchNormalizedText) {
  json options = plain_tokenizer_json();
  options["normalizer"] = {{"type", "Lowercase"}};
  options["added_tokens"] = {{{"id", 8}, {"content", "Day"}, {"normalized", true}},
                             {{"id", 9}, {"content", "NIGHT"}, {"normalized", false}}};
  const auto tokenizer = build(options);
  EXPECT_EQ(tokenizer->encode("aDAYb"), (Ids{0, 8, 1}));
  EXPECT_EQ(tokenizer->encode("ANIGHTB"), (Ids{0, 9, 1}));
  EXPECT_EQ(tokenizer->encode("aNightb"), (Ids{3}));  // unknown letters vanish, a and b merge
}

TEST(Tokenizer, TemplateGoesAroundTheText) {
  json options = plain_tokenizer_json();
  options["added_tokens"] = {special(6, "<s>"), special(7, "</s>")};
  options["post_processor"] = {
      {"type", "BertProcessing"}, {"cls", {"<s>", 6}}, {"sep", {"</s>", 7}}};
  const auto tokenizer = build(options);
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{6, 3, 7}));
  EXPECT_EQ(tokenizer->encode("ab", {.add_special_tokens = false}), (Ids{3}));
  EXPECT_EQ(decode_both_ways(tokenizer, {6, 3, 7}), "<s>ab</s>");
  EXPECT_EQ(decode_both_ways(tokenizer, {6, 3, 7}, {.skip_special_tokens = true}), "ab");
}

TEST(Tokenizer, DecodesWithoutADecoderBySpaces) {
  json options = plain_tokenizer_json();
  options["decoder"] = nullptr;
  EXPECT_EQ(decode_both_ways(build(options), {0, 1, 3}), "a b ab");
  EXPECT_EQ(decode_both_ways(build(options), {}), "");
}

TEST(Tokenizer, BrokenUtf8IsReadAsReplacementCharacters) {
  json options = plain_tokenizer_json();
  options["model"]["vocab"]["\ufffd"] = 8;
  EXPECT_EQ(build(options)->encode("a\xFF"
                                   "b\xED\xA0\x80"),
            (Ids{0, 8, 1, 8, 8, 8}));
}

TEST(Tokenizer, IdsAndTokens) {
  const auto tokenizer = build(plain_tokenizer_json());
  EXPECT_EQ(tokenizer->token_to_id("abc"), 4);
  EXPECT_EQ(tokenizer->token_to_id("zzz"), std::nullopt);
  EXPECT_EQ(tokenizer->id_to_token(4), "abc");
  EXPECT_THROW(tokenizer->id_to_token(8), Error);
  EXPECT_THROW(tokenizer->id_to_token(-1), Error);
  EXPECT_EQ(tokenizer->decode(Ids{4, 99, -5, 0}), "abca");  // ids of no token are passed over
}

TEST(StreamDecoder, NeverSplitsACharacter) {
  json options = plain_tokenizer_json();
  options["decoder"] = {{"type", "ByteLevel"}};
  options["model"]["vocab"] = {{"\u00c3", 0}, {"\u00a9", 1}, {"a", 2}};
  options["model"]["merges"] = json::array();
  const auto tokenizer = build(options);
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(2), "a");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(1), "\u00e9");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.finish(), "\ufffd");
  EXPECT_EQ(stream.push(2), "a");  // a new sequence
  EXPECT_EQ(stream.finish(), "");
}

TEST(Tokenizer, ManyThreadsEncodeAtOnce) {
  const auto tokenizer = build(plain_tokenizer_json());
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "abc ab cab ";
  const Ids expected = tokenizer->encode(text);
  std::vector<Ids> results(4);
  std::vector<std::thread> threads;
  for (Ids& result : results) {
    threads.emplace_back([&] { result = tokenizer->encode(text); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& result : results) EXPECT_EQ(result, expected);
}

TEST(Tokenizer, RefusesBrokenFilesWithOneLine) {
  EXPECT_NE(build_error("{"), "");
  EXPECT_NE(build_error(""), "");
  EXPECT_NE(build_error("[]"), "");
  EXPECT_NE(build_error("{}"), "");
  const auto broken = [](const char* pointer, const json& value) {
    json options = plain_tokenizer_json();
    options[json::json_pointer(pointer)] = value;
    const std::string message = build_error(options.dump());
    EXPECT_TRUE(message.starts_with("test.json: ")) << pointer << " " << value << " " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  };
  broken("/model", 3);
  broken("/model/type", "Unigram");
  broken("/model/dropout", 0.1);
  broken("/model/dropout", "x");
  broken("/model/vocab", json::array());
  broken("/model/vocab/a", -1);
  broken("/model/vocab/a", 4000000000u);
  broken("/model/vocab/a", "x");
  broken("/model/merges", 3);
  broken("/model/merges", json::array({"ab"}));
  broken("/model/merges", json::array({"a z"}));
  broken("/model/merges", json::array({"b a"}));  // "ba" is no token
  broken("/model/merges", json::array({json::array({"a", "z"})}));
  broken("/model/merges", json::array({json::array({"a"})}));
  broken("/model/merges", json::array({7}));
  broken("/model/unk_token", "nowhere");
  broken("/model/unk_token", 5);
  broken("/model/fuse_unk", "yes");
  broken("/added_tokens", 3);
  broken("/added_tokens", {{{"id", 1}}});
  broken("/added_tokens", {{{"content", "x"}, {"special", 1}}});
  broken("/normalizer", {{"type", "Odd"}});
  broken("/pre_tokenizer", {{"type", "Odd"}});
  broken("/post_processor", {{"type", "Odd"}});
  broken("/decoder", {{"type", "Odd"}});
}

TEST(Tokenizer, ReadsFilesWithoutAModelType) {
  json options = plain_tokenizer_json();
  options["model"].erase("type");
  EXPECT_EQ(build(options)->encode("abc"), (Ids{4}));
  options["model"].erase("merges");
  EXPECT_NE(build_error(options.dump()), "");
}

}  // namespace
}  // namespace nibble
