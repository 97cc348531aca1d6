// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/regex_syntax.h"

namespace nibble {
namespace {

using Strings = std::vector<std::string>;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  const Regex regex = Regex::compile(pattern, "test.json");
  RegexScan scan(regex);
  scan.start(text);
  std::vector<std::string> out;
  for (size_t begin = 0, end = 0; scan.next(begin, end);) {
    out.emplace_back(text.substr(begin, end - begin));
  }
  return out;
}

TEST(Regex, SearchesWithoutEndAreStopped) {
  const std::string text = std::string(60, 'a') + "b";
  try {
    matches("(a|aa)+$", text);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("takes too long on this text"), std::string::npos)
        << error.what();
  }
}

TEST(Regex, LongMatchesAreNotMistakenForEndlessOnes) {
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(matches("(?:a|b)+", text), (Strings{text}));
}

TEST(Regex, WhiteSpaceIsUnicodeWhiteSpace) {
  EXPECT_EQ(matches("\\s", "a\xC2\x85 \xE3\x80\x80").size(), 3u);
  EXPECT_EQ(matches("\\s", "\xE1\xA0\x8E").size(), 0u);  // U+180E, which PCRE2 takes for a space
  EXPECT_EQ(matches("[^\\s]", "\xE1\xA0\x8E").size(), 1u);
  EXPECT_EQ(matches("[\\Sx]+", "ab c"), (Strings{"ab", "c"}));
}

TEST(Regex, WordsHaveMarks) {
  EXPECT_EQ(matches("\\w+", "e\xCC\x81t\xC3\xA9 _1\xC2\xBD-"),
            (Strings{"e\xCC\x81t\xC3\xA9", "_1\xC2\xBD"}));
  EXPECT_EQ(matches("\\bab\\b", "ab abc ab"), (Strings{"ab", "ab"}));
  EXPECT_EQ(matches("a\\B", "ab a"), (Strings{"a"}));
}

TEST(Regex, LineEndsAreThoseOfRuby) {
  EXPECT_EQ(matches("^a", "a\na").size(), 2u);
  EXPECT_EQ(matches("a$", "a\na").size(), 2u);
  EXPECT_EQ(matches("$", "a\n").size(), 1u);  // not behind the last line feed
  EXPECT_EQ(matches("a.b", "a\nb").size(), 0u);
  EXPECT_EQ(matches("(?m)a.b", "a\nb").size(), 1u);
  EXPECT_EQ(matches("(?m:a.)b", "a\nb").size(), 1u);
}

TEST(Regex, ClassesJoinAndIntersect) {
  EXPECT_EQ(matches("[a[bc]]+", "abcd"), (Strings{"abc"}));
  EXPECT_EQ(matches("[^(\\s|[.,])]+", "ab(c.d e|f"), (Strings{"ab", "c", "d", "e", "f"}));
  EXPECT_EQ(matches("[a-z&&[^aeiou]]+", "hello"), (Strings{"h", "ll"}));
  EXPECT_EQ(matches("[^a-z&&[^aeiou]]+", "hello!"), (Strings{"e", "o!"}));
  EXPECT_EQ(matches("[]a]+", "a]b"), (Strings{"a]"}));
  EXPECT_EQ(matches("[[:alpha:]_]+", "ab_1"), (Strings{"ab_"}));
  EXPECT_EQ(matches("[[:punct:]]+", "a+\xE2\x82\xAC"), (Strings{"+\xE2\x82\xAC"}));
  EXPECT_EQ(matches("[[:^space:]]+", "ab c"), (Strings{"ab", "c"}));
}

TEST(Regex, RepeatedRangesRepeat) {
  EXPECT_EQ(matches("a{2}+", "aaaaa"), (Strings{"aaaa"}));
  EXPECT_EQ(matches("x(ab){1,2}+", "xababab"), (Strings{"xababab"}));
  EXPECT_EQ(matches("a{,2}b", "aaab"), (Strings{"aab"}));
  EXPECT_EQ(matches("a{x", "a{x"), (Strings{"a{x"}));
  EXPECT_EQ(matches("a?+b", "ab"), (Strings{"ab"}));
}

TEST(Regex, EmptyMatchesAdvance) {
  EXPECT_EQ(matches("b*", "abc"), (Strings{"", "b", ""}));
  EXPECT_EQ(matches("", "\xC3\xA9x").size(), 3u);
  EXPECT_TRUE(matches("a", "").empty());
}

TEST(Regex, LiteralsAreTakenAsTheyAre) {
  const std::string text = "a.b*c[d]\\ {2}^$|?+()#-&";
  const Regex regex = Regex::literal(text, "test.json");
  RegexScan scan(regex);
  scan.start(text);
  size_t begin = 0, end = 0;
  ASSERT_TRUE(scan.next(begin, end));
  EXPECT_EQ(end - begin, text.size());
}

TEST(Regex, RefusesWhatHasNoEqual) {
  for (const char* pattern :
       {"[a",     "(a",       "a)",    "[[:alpha:", "[[:odd:]]",     "\\",    "\\p",
        "\\k<x>", "a(?i)b|c", "(?z)a", "a{2}?",     "{2}",           "\\xff", "\\x{12",
        "\\u12",  "[a&&]",    "(?<n",  "(?#x",      "\\p{Nonsense}", "a**b",  "\\C"}) {
    EXPECT_THROW(matches(pattern, "a"), Error) << pattern;
  }
  EXPECT_THROW(oniguruma_to_pcre2(std::string(1000, '(')), Error);
  EXPECT_THROW(oniguruma_to_pcre2(std::string(1000, '[')), Error);
}

TEST(Regex, LongRunsOfSpacesAreNoTrouble) {
  const std::string spaces(200000, ' ');
  EXPECT_EQ(matches("\\s+(?!\\S)|\\s+", spaces + "a").size(), 2u);
}

}  // namespace
}  // namespace nibble
