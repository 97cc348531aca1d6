// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibration_texts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;

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
