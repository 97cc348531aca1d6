// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/word_scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/base/utf8.h"
#include "nibble/text/character_table.h"
#include "nibble/text/pretokenizer.h"
#include "nibble/text/regex.h"

namespace nibble {
namespace {

constexpr const char* kPatterns[] = {
    kGpt2Pattern.data(),
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"};

using Words = std::vector<std::string>;

class Collector : public WordSink {
 public:
  explicit Collector(std::string_view text) : text_(text) {}
  Words take() {
    flush();
    return std::move(words_);
  }

 private:
  void consume(std::span<const TextSpan> words) override {
    for (const TextSpan& word : words) words_.emplace_back(word.of(text_));
  }

  std::string_view text_;
  Words words_;
};

Words scanned(const WordScanner& scanner, std::string_view text, TextSpan part) {
  Collector words(text);
  scanner.scan(text, part, words);
  return words.take();
}

Words matched(const Regex& regex, std::string_view text) {
  RegexScan scan(regex);
  scan.start(text);
  Words out;
  for (size_t begin = 0, end = 0; scan.next(begin, end);) {
    out.emplace_back(text.substr(begin, end - begin));
  }
  return out;
}

TEST(CharacterTable, AgreesWithTheRegularExpressionsOnEveryCodePoint) {
  const CharacterTable table;
  std::string all;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c > 0xDFFF) append_utf8(all, c);
  }
  const std::pair<const char*, CharacterKind> classes[] = {
      {"[^\\p{L}]+", CharacterKind::kLetter},
      {"\\P{N}+", CharacterKind::kNumber},
      {"\\S+", CharacterKind::kSpace},
      {"[\\p{L}\\p{N}\\s]+", CharacterKind::kOther}};
  for (const auto& [others, kind] : classes) {
    // What the pattern for all other kinds leaves.
    const Regex regex = Regex::compile(others, "test.json");
    RegexScan scan(regex);
    scan.start(all);
    std::string expected, found;
    size_t done = 0;
    for (size_t begin = 0, end = 0; scan.next(begin, end); done = end) {
      expected += all.substr(done, begin - done);
    }
    expected += all.substr(done);
    for (size_t at = 0; at < all.size();) {
      const char32_t c = next_code_point(all, at);
      if (table.kind(c) == kind) append_utf8(found, c);
    }
    EXPECT_TRUE(found == expected) << others;
    EXPECT_FALSE(found.empty());
  }
}

// Texts in which every rule of the patterns has something to do.
std::string random_text(Random& random) {
  static constexpr std::string_view kParts[] = {"a",
                                                "Word",
                                                "'",
                                                "'s",
                                                "'LL",
                                                "'re",
                                                "'Ve",
                                                "\xC5\xBF",
                                                " ",
                                                "  ",
                                                "\n",
                                                "\r\n",
                                                "\t",
                                                "\xC2\xA0",
                                                "1",
                                                "234567",
                                                ".",
                                                "?!",
                                                "\xC3\xA9",
                                                "\xCC\x81",
                                                "\xD9\xA3",
                                                "<|startoftext|>",
                                                "<|endoftext|>",
                                                "<|s",
                                                "\xE2\x80\x94",
                                                "\xE6\xBC\xA2",
                                                "\xE3\x80\x80",
                                                "eightfold",
                                                "\xF0\x9F\x98\x80"};
  std::string text;
  for (uint64_t left = 1 + random.next() % 12; left > 0; --left) {
    const uint64_t kind = random.next() % (std::size(kParts) + 2);
    if (kind < std::size(kParts)) {
      text += kParts[kind];
      continue;
    }
    const auto c = static_cast<char32_t>(random.next() % 0x32400);
    append_utf8(text, c >= 0xD800 && c <= 0xDFFF ? U'x' : c);
  }
  return text;
}

TEST(WordScanner, FindsWhatThePatternMatches) {
  for (const char* pattern : kPatterns) {
    const Regex regex = Regex::compile(pattern, "test.json");
    const auto scanner = make_known_scanner(pattern, false);
    ASSERT_NE(scanner, nullptr) << pattern;
    Random random(7);
    for (int i = 0; i < 5000; ++i) {
      const std::string text = random_text(random);
      ASSERT_EQ(scanned(*scanner, text, {0, text.size()}), matched(regex, text))
          << pattern << " on " << testing::PrintToString(text);
    }
  }
}

TEST(WordScanner, SeesNothingOutsideOfThePart) {
  const std::string text = "don't  stop\n";
  for (const char* pattern : kPatterns) {
    const Regex regex = Regex::compile(pattern, "test.json");
    const auto scanner = make_known_scanner(pattern, false);
    for (size_t begin = 0; begin <= text.size(); ++begin) {
      for (size_t end = begin; end <= text.size(); ++end) {
        EXPECT_EQ(scanned(*scanner, text, {begin, end}),
                  matched(regex, text.substr(begin, end - begin)));
      }
    }
  }
}

TEST(WordScanner, LeavesOtherPatternsAlone) {
  EXPECT_EQ(make_known_scanner("\\s+", false), nullptr);
  EXPECT_EQ(make_known_scanner(std::string(kGpt2Pattern) + " ", false), nullptr);
  // CLIP's pattern leaves the white space, which a split that isolates matches would keep.
  EXPECT_EQ(make_known_scanner(kPatterns[4], true), nullptr);
}

}  // namespace
}  // namespace nibble
