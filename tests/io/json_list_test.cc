// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/json_list.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {
namespace {

class JsonListTest : public ::testing::Test {
 protected:
  // "PLACE=VALUE" of each entry, PLACE without the folder, and at last what was thrown.
  std::vector<std::string> visit(const char* name, const char* content, int64_t limit = 0) {
    write_file_atomically(folder_ / name, content);
    std::vector<std::string> visited;
    const size_t folder = (folder_ / "").string().size();
    try {
      for_each_json_entry(folder_ / name, limit, [&](const JsonEntry& entry) {
        visited.push_back(entry.where.string().substr(folder) + "=" + entry.value.dump());
        return true;
      });
    } catch (const Error& error) {
      visited.push_back(std::string(error.what()).substr(folder));
    }
    return visited;
  }

  using Strings = std::vector<std::string>;
  testing::ScratchFolder folder_;
};

TEST_F(JsonListTest, LinesAreEntriesAndBlankOnesAreNot) {
  EXPECT_EQ(visit("a.jsonl", "1\r\n \n\n{\"b\": 2}"),
            (Strings{"a.jsonl:1=1", "a.jsonl:4={\"b\":2}"}));
  EXPECT_TRUE(visit("a.jsonl", "\n").empty());
  EXPECT_TRUE(visit("a.jsonl", "").empty());
}

TEST_F(JsonListTest, AListHasEntries) {
  EXPECT_EQ(visit("a.json", "[1, [2]]"), (Strings{"a.json: entry 1=1", "a.json: entry 2=[2]"}));
  EXPECT_EQ(visit("a.json", "5"), Strings{"a.json: not a list: expected a JSON list, got number"});
}

TEST_F(JsonListTest, WhatComesBehindTheLimitIsNotVisited) {
  EXPECT_EQ(visit("a.jsonl", "1\n2\nno JSON", 2), (Strings{"a.jsonl:1=1", "a.jsonl:2=2"}));
  EXPECT_EQ(visit("a.json", "[1, 2]", 1), Strings{"a.json: entry 1=1"});
}

TEST_F(JsonListTest, ALineThatIsNoJsonIsNamed) {
  const Strings visited = visit("a.jsonl", "1\n{\n");
  ASSERT_EQ(visited.size(), 2u);
  EXPECT_EQ(visited[1].substr(0, 33), "a.jsonl:2: file is not valid JSON");
}

}  // namespace
}  // namespace nibble
