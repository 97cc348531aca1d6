// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/atomic_file.h"

#include <gtest/gtest.h>

#include "nibble/base/error.h"
#include "tests/testing/scratch_folder.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public ::testing::Test {
 protected:
  testing::ScratchFolder folder_;
};

TEST_F(AtomicFileTest, OldContentStandsUntilCommit) {
  const fs::path path = folder_ / "a.txt";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("new content");
    EXPECT_EQ(read_text_file(path), "old");
    file.commit();
  }
  EXPECT_EQ(read_text_file(path), "new content");
}

TEST_F(AtomicFileTest, TakesItsNameWithoutAFlushToo) {
  AtomicFile file(folder_ / "quick.txt");
  file.write("content");
  file.commit_unflushed();
  EXPECT_EQ(read_text_file(folder_ / "quick.txt"), "content");
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  {
    AtomicFile file(folder_ / "b.txt");
    file.write("half");
  }
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(AtomicFileTest, NamesTheFileThatCannotBeWritten) {
  try {
    AtomicFile file(folder_ / "missing" / "c.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("c.txt"), std::string::npos);
  }
}

TEST_F(AtomicFileTest, RefusesTextAboveTheLimit) {
  write_file_atomically(folder_ / "d.txt", "12345");
  EXPECT_THROW(read_text_file(folder_ / "d.txt", 4), Error);
}

}  // namespace
}  // namespace nibble
