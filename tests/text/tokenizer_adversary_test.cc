// SPDX-License-Identifier: Apache-2.0
//
// Texts made to take long. What is quadratic in any of them would run for hours, so that the tests
// need no clock: they end in time or not at all.
#include <gtest/gtest.h>

#include "tests/text/tokenizer_fixture.h"

namespace nibble {
namespace {

constexpr size_t kMegabyte = 1 << 20;

std::string repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

// Byte-level BPE as current models have it, with "a" doubling up to 16 of them.
std::shared_ptr<const Tokenizer> byte_level_tokenizer() {
  nlohmann::json json = plain_tokenizer_json();
  json["normalizer"] = {{"type", "NFC"}};
  json["pre_tokenizer"] = nlohmann::json::parse(R"JSON({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
       "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})JSON");
  json["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  nlohmann::json vocabulary = nlohmann::json::object();
  for (char32_t c = 0, id = 0; id < 256; ++c) {
    const bool itself =
        (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c < 0x144);
    std::string character;
    if (c < 0x80) {
      character = static_cast<char>(c);
    } else {
      character = {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
    }
    if (itself) vocabulary[character] = id++;
  }
  nlohmann::json merges = nlohmann::json::array();
  for (size_t half = 1; half <= 8; half *= 2) {
    vocabulary[std::string(2 * half, 'a')] = vocabulary.size();
    merges.push_back(std::string(half, 'a') + " " + std::string(half, 'a'));
  }
  json["model"]["vocab"] = vocabulary;
  json["model"]["merges"] = merges;
  json["added_tokens"] = nlohmann::json::parse(R"([
      {"id": 260, "content": "<|end|>", "single_word": false, "lstrip": true, "rstrip": true,
       "normalized": false, "special": true}])");
  return build(json);
}

// SentencePiece's kind, which sees the whole text as one word.
std::shared_ptr<const Tokenizer> space_mark_tokenizer() {
  nlohmann::json json = plain_tokenizer_json();
  json["normalizer"] = nlohmann::json::parse(R"({"type": "Replace", "pattern": {"String": " "},
                                                 "content": "▁"})");
  json["model"]["vocab"] = nlohmann::json::parse(R"({"▁": 0, "a": 1, "aa": 2, "▁a": 3, "▁▁": 4})");
  json["model"]["merges"] = {"a a", "▁ ▁", "▁ a"};
  return build(json);
}

TEST(HostileTexts, AWordOfAMegabyte) {
  EXPECT_EQ(byte_level_tokenizer()->encode(repeat("a", kMegabyte)).size(), kMegabyte / 16);
  EXPECT_EQ(space_mark_tokenizer()->encode(repeat("a", kMegabyte)).size(), kMegabyte / 2);
}

TEST(HostileTexts, AMegabyteOfOneKindOfCharacter) {
  const auto tokenizer = byte_level_tokenizer();
  for (std::string_view one : {" ", "\n", " \n", "'", "7", "!", "\xE3\x80\x80", "\xCC\x81", "<",
                               "<|", "\xF0\x9F\x98\x80", "\xFF"}) {
    const std::string text = repeat(one, kMegabyte / one.size());
    const Ids ids = tokenizer->encode(text);
    EXPECT_GE(ids.size(), text.size() / 16);
    if (one != "\xFF") {
      EXPECT_EQ(tokenizer->decode(ids), text);
    }
  }
  EXPECT_EQ(space_mark_tokenizer()->encode(repeat(" ", kMegabyte)).size(), kMegabyte / 2);
}

TEST(HostileTexts, MarksThatAreOutOfOrder) {
  // U+0301 stands above and U+0323 below: the normal form sorts them, all U+0323 first.
  const size_t pairs = kMegabyte / 8;
  const Ids ids = byte_level_tokenizer()->encode(repeat("\xCC\x81\xCC\xA3", pairs));
  const std::string sorted = repeat("\xCC\xA3", pairs) + repeat("\xCC\x81", pairs);
  EXPECT_EQ(byte_level_tokenizer()->decode(ids), sorted);
}

TEST(HostileTexts, AHundredThousandSpecialTokens) {
  const auto tokenizer = byte_level_tokenizer();
  EXPECT_EQ(tokenizer->encode(repeat("<|end|>", 100000)), Ids(100000, 260));
  EXPECT_EQ(tokenizer->encode(repeat(" <|end|>", 100000)), Ids(100000, 260));  // lstrip
  EXPECT_EQ(tokenizer->encode(repeat("<|end|>a", 100000)).size(), 200000u);
  EXPECT_EQ(tokenizer->encode(repeat(" ", kMegabyte) + "<|end|>"), Ids{260});
}

}  // namespace
}  // namespace nibble
