// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibration_texts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/base/reference_random.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;
using enum CalibrationConvention;
using Ids = std::vector<int32_t>;

class CalibrationTextsTest : public ::testing::Test {
 protected:
  CalibrationTextsTest() {
    testing::TinyModel().write(folder_ / "model");
    tokenizer_ = Tokenizer::load(folder_ / "model");
  }

  std::filesystem::path file(const std::string& name, const std::string& content) {
    write_file_atomically(folder_ / name, content);
    return folder_ / name;
  }

  std::vector<std::vector<int32_t>> sequences(const std::filesystem::path& from, int64_t samples,
                                              int64_t seqlen) {
    return calibration_sequences(from, *tokenizer_, {.samples = samples, .seqlen = seqlen});
  }

  std::vector<std::vector<int32_t>> sequences(const std::filesystem::path& from,
                                              const CalibrationTextOptions& options) {
    return calibration_sequences(from, *tokenizer_, options);
  }

  testing::ScratchFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_F(CalibrationTextsTest, ListsGiveTheirFirstTextsCutAndWithoutScraps) {
  const auto list = file("list.jsonl",
                         "\"a scrap\"\n\"the first text of some length\"\n{\"text\": \"the second "
                         "text of some length\"}\n\"the third text of some length\"\n");
  const auto cut = sequences(list, 2, 12);
  ASSERT_EQ(cut.size(), 2u);
  for (const auto& ids : cut) EXPECT_EQ(ids.size(), 12u);
  EXPECT_EQ(sequences(list, 10, 100).size(), 3u);
  EXPECT_TRUE(std::ranges::equal(sequences(list, 1, 100)[0],
                                 tokenizer_->encode("the first text of some length")));
}

TEST_F(CalibrationTextsTest, OneTextGivesWindowsThatASeedDecides) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>('a' + i % 23);
  const auto path = file("text.txt", text);
  const std::vector<int32_t> ids = tokenizer_->encode(text);
  const auto windows = sequences(path, 5, 40);
  ASSERT_EQ(windows.size(), 5u);
  for (const auto& window : windows) {
    EXPECT_EQ(window.size(), 40u);
    EXPECT_FALSE(std::ranges::search(ids, window).empty());
  }
  EXPECT_EQ(windows, sequences(path, 5, 40));
}

// 20 texts of 30 to 68 tokens, no two windows of which are alike.
std::vector<std::string> distinct_texts() {
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) {
    std::string text(static_cast<size_t>(30 + 2 * i), static_cast<char>('a' + i));
    for (size_t at = 1; at < text.size(); at += 2) text[at] = static_cast<char>('0' + at / 2 % 75);
    texts.push_back(text);
  }
  return texts;
}

std::string as_lines(const std::vector<std::string>& texts, const std::string& around = "") {
  std::string lines;
  for (const std::string& text : texts) {
    lines += nlohmann::json(around + text + around).dump() + "\n";
  }
  return lines;
}

TEST_F(CalibrationTextsTest, Wikitext2DrawsPythonsWindowsOfTheRowsJoined) {
  const std::vector<std::string> texts = distinct_texts();
  const auto list = file("rows.jsonl", as_lines(texts));
  const Ids ids = tokenizer_->encode(fmt::format("{}", fmt::join(texts, "\n\n")));
  const auto drawn = sequences(list, {.samples = 4, .seqlen = 40, .convention = kWikitext2});
  PythonRandom random(0);
  ASSERT_EQ(drawn.size(), 4u);
  for (const auto& window : drawn) {
    const int64_t start = random.randint(0, static_cast<int64_t>(ids.size()) - 40 - 1);
    EXPECT_EQ(window, Ids(ids.begin() + start, ids.begin() + start + 40));
  }
  EXPECT_NE(sequences(list, {.samples = 4, .seqlen = 40, .convention = kWikitext2, .seed = 1}),
            drawn);
}

TEST_F(CalibrationTextsTest, Wikitext2TakesTheLinesOfThePublishedFileAsRows) {
  const auto raw = file("wiki.raw", " \n = A title = \n \n Some text of the article . \n");
  const auto rows =
      file("rows.json", R"(["", " = A title = \n", "", " Some text of the article . \n"])");
  const CalibrationTextOptions options{.samples = 3, .seqlen = 20, .convention = kWikitext2};
  EXPECT_EQ(sequences(raw, options), sequences(rows, options));
}

TEST_F(CalibrationTextsTest, C4DrawsATextThatIsLongEnoughAndAWindowOfIt) {
  const std::vector<std::string> texts = distinct_texts();
  const auto list = file("docs.jsonl", as_lines(texts));
  const auto drawn = sequences(list, {.samples = 5, .seqlen = 50, .convention = kC4});
  PythonRandom random(0);
  ASSERT_EQ(drawn.size(), 5u);
  for (const auto& window : drawn) {
    Ids ids;
    while (ids.size() <= 50) {
      ids = tokenizer_->encode(texts[static_cast<size_t>(random.randint(0, 19))]);
    }
    const int64_t start = random.randint(0, static_cast<int64_t>(ids.size()) - 50 - 1);
    EXPECT_EQ(window, Ids(ids.begin() + start, ids.begin() + start + 50));
  }
  const auto message =
      message_of([&] { sequences(list, {.samples = 1, .seqlen = 100, .convention = kC4}); });
  EXPECT_NE(message.find("no text is long enough to calibrate with"), std::string::npos);
}

TEST_F(CalibrationTextsTest, PilevalJoinsShortTextsInNumpysOrderAndCutsBlocks) {
  const std::vector<std::string> texts = distinct_texts();
  const auto list = file("pile.jsonl", as_lines(texts, " \n"));
  Ids joined;
  int64_t taken = 0;
  for (const int64_t index : numpy_permutation(42, 20)) {
    const Ids ids = tokenizer_->encode(texts[static_cast<size_t>(index)]);
    if (ids.size() > 50 || taken == 6) continue;
    joined.insert(joined.end(), ids.begin(), ids.end());
    ++taken;
  }
  const auto blocks = sequences(list, {.samples = 6, .seqlen = 50, .convention = kPileval});
  ASSERT_EQ(blocks.size(), joined.size() / 50);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto begin = joined.begin() + static_cast<int64_t>(i) * 50;
    EXPECT_EQ(blocks[i], Ids(begin, begin + 50));
  }
}

TEST_F(CalibrationTextsTest, ConventionsThatDrawTextsNeedAList) {
  const auto text = file("text.txt", std::string(500, 'a'));
  for (const CalibrationConvention convention : {kC4, kPileval}) {
    EXPECT_EQ(message_of([&] { sequences(text, {.samples = 1, .convention = convention}); }),
              text.string() + ": not a list of texts: expected .jsonl or .json, plain or .zst");
  }
  const auto empty = file("empty.jsonl", "\n");
  EXPECT_NE(message_of([&] { sequences(empty, {.convention = kC4}); }).find("no text is long"),
            std::string::npos);
  EXPECT_NE(message_of([&] { sequences(empty, {.convention = kPileval}); }).find("too short"),
            std::string::npos);
}

TEST(CalibrationConventions, HaveNames) {
  for (const char* name : {"auto", "wikitext2", "c4", "pileval"}) {
    EXPECT_STREQ(to_string(parse_calibration_convention(name)), name);
  }
  EXPECT_EQ(message_of([] { parse_calibration_convention("ptb"); }),
            "there is no such convention of calibration: expected one of auto, wikitext2, c4, "
            "pileval, got ptb");
}

TEST_F(CalibrationTextsTest, TooLittleTextIsRefused) {
  const auto list = file("list.json", "[\"short\"]"), text = file("text.txt", "short");
  EXPECT_NE(message_of([&] { sequences(list, 5, 40); }).find("no text to calibrate with"),
            std::string::npos);
  EXPECT_NE(message_of([&] { sequences(text, 5, 40); }).find("too short to calibrate with"),
            std::string::npos);
  EXPECT_NE(message_of([&] { sequences(text, 5, 2); }).find("bad size of the calibration"),
            std::string::npos);
}

}  // namespace
}  // namespace nibble
