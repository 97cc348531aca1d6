// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/text_source.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <memory>
#include <string>
#include <vector>

#include "nibble/base/atomic_file.h"
#include "nibble/base/random.h"
#include "nibble/io/json_list.h"
#include "nibble/io/text_list.h"
#include "tests/testing/message_of.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {
namespace {

using Lines = std::vector<std::string>;

// A frame with a checksum, as the program zstd writes it.
std::string compressed(const std::string& text) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::string frame(ZSTD_compressBound(text.size()), '\0');
  frame.resize(ZSTD_compress2(context.get(), frame.data(), frame.size(), text.data(), text.size()));
  return frame;
}

// Lines of all lengths that pieces of 128 KiB cut in all places, and that compress badly.
std::string long_text() {
  Random random(5);
  std::string text;
  while (text.size() < 1'000'000) {
    const uint64_t length = random.next() % 3000;
    for (uint64_t i = 0; i < length; ++i) text += static_cast<char>('a' + random.next() % 26);
    text += '\n';
  }
  return text;
}

class TextSourceTest : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const std::string& content) {
    write_file_atomically(folder_ / name, content);
    return folder_ / name;
  }

  static Lines lines_of(const std::filesystem::path& path, size_t most = 0) {
    Lines lines;
    for_each_line(path, [&](std::string_view line) {
      lines.emplace_back(line);
      return lines.size() != most;
    });
    return lines;
  }

  std::string fails(const std::string& content, int64_t max_bytes = 1 << 20) {
    const auto path = file("a.txt.zst", content);
    const std::string whole = testing::message_of([&] { read_text(path, max_bytes); });
    const std::string lines = testing::message_of(
        [&] { for_each_line(path, [](std::string_view) { return true; }, max_bytes); });
    EXPECT_TRUE(whole.starts_with(path.string() + ": ")) << whole;
    EXPECT_TRUE(lines.starts_with(path.string() + ": ")) << lines;
    return whole.substr(path.string().size() + 2);
  }

  testing::ScratchFolder folder_;
};

TEST_F(TextSourceTest, ACompressedTextReadsAsThePlainOneDoes) {
  const std::string text = long_text();
  const auto plain = file("a.txt", text), packed = file("a.txt.zst", compressed(text));
  EXPECT_EQ(read_text(packed), text);
  EXPECT_EQ(read_text(plain), text);
  const Lines lines = lines_of(plain);
  EXPECT_GT(lines.size(), 300u);
  EXPECT_EQ(lines_of(packed), lines);
}

TEST_F(TextSourceTest, FramesFollowOneAnotherWithinALine) {
  const std::string skippable{"\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11};
  const auto path =
      file("a.txt.zst", compressed("a\nb") + skippable + compressed("") + compressed("c\n\nd"));
  EXPECT_EQ(read_text(path), "a\nbc\n\nd");
  EXPECT_EQ(lines_of(path), (Lines{"a", "bc", "", "d"}));
  EXPECT_EQ(lines_of(file("b.txt.zst", compressed(""))), Lines{});
}

TEST_F(TextSourceTest, WhatComesBehindTheLastLineWantedIsNotDecompressed) {
  EXPECT_EQ(lines_of(file("a.zst", compressed("a\nb\n") + "damage"), 2), (Lines{"a", "b"}));
  EXPECT_EQ(lines_of(file("a.txt", "a\nb\nc"), 1), Lines{"a"});
}

TEST_F(TextSourceTest, DamageIsOneLine) {
  const std::string frame = compressed(long_text());
  EXPECT_TRUE(fails("").starts_with("the compressed data is cut off: got 0 bytes"));
  EXPECT_TRUE(fails(frame.substr(0, frame.size() - 1)).starts_with("the compressed data is cut"));
  EXPECT_TRUE(fails("plain text").starts_with("the file cannot be decompressed: expected zstd"));
  EXPECT_TRUE(fails(compressed("a") + "plain").starts_with("the file cannot be decompressed"));
  std::string damaged = frame;
  damaged[frame.size() / 2] ^= 0x55;
  EXPECT_TRUE(fails(damaged).starts_with("the file cannot be decompressed"));
}

TEST_F(TextSourceTest, SizesAreBounded) {
  const std::string bomb = compressed(std::string(10 << 20, 'x'));
  ASSERT_LT(bomb.size(), 10'000u);
  EXPECT_TRUE(fails(bomb).starts_with("the text is too large: expected at most 1048576 bytes"));
  // A frame of raw bytes that asks for a window of 2 GiB.
  EXPECT_NE(fails({"\x28\xb5\x2f\xfd\x00\xa8\x09\x00\x00"
                   "a",
                   10})
                .find("window of at most 128 MiB, got Frame requires too much memory"),
            std::string::npos);
}

TEST_F(TextSourceTest, ListsAreToldByTheNameBeforeTheCompression) {
  EXPECT_TRUE(is_json_list("a/b.jsonl.zst"));
  EXPECT_TRUE(is_json_list("b.json.zst"));
  EXPECT_FALSE(is_json_list("b.txt.zst"));
  EXPECT_FALSE(is_json_list("b.zst"));
  EXPECT_EQ(read_text_list(file("a.jsonl.zst", compressed("\"a\"\n{\"text\": \"b\"}\n"))),
            (Lines{"a", "b"}));
  EXPECT_EQ(read_text_list(file("a.json.zst", compressed("[\"a\", \"b\"]"))), (Lines{"a", "b"}));
}

TEST_F(TextSourceTest, ListsGiveTheirTextsByNumber) {
  const std::string lines = "\"a\"\n\n{\"text\": \"b\"}\n3\n\"d\"";
  for (const auto& path : {file("a.jsonl", lines), file("a.jsonl.zst", compressed(lines))}) {
    const TextList texts(path);
    ASSERT_EQ(texts.size(), 4);
    EXPECT_EQ(texts.text(1) + texts.text(3) + texts.text(0), "bda");
    EXPECT_EQ(testing::message_of([&] { texts.text(2); }).substr(path.string().size()),
              ": entry 4 is not a text: expected a string, or an object with a string \"text\", "
              "got number");
  }
  const TextList texts(file("a.json", R"(["a", "b"])"));
  ASSERT_EQ(texts.size(), 2);
  EXPECT_EQ(texts.text(1), "b");
  EXPECT_EQ(TextList(file("empty.jsonl", "")).size(), 0);
}

}  // namespace
}  // namespace nibble
