// SPDX-License-Identifier: Apache-2.0
//
// Overwriting a model by a process that is killed before any one of the calls that change the disk:
// the folder holds the old model or the new one, whole.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "nibble/io/checkpoint.h"
#include "nibble/io/checkpoint_writer.h"
#include "tests/io/io_testing.h"

namespace {

// Calls left until the process is killed; negative: never.
int calls_to_live = -1;

void count_call() {
  if (calls_to_live < 0) return;
  if (calls_to_live-- == 0) ::raise(SIGKILL);
}

}  // namespace

// In place of the C library's, for this whole program; libstdc++ finds them, too.
extern "C" {
int rename(const char* from, const char* to) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_rename, from, to));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int link(const char* from, const char* to) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_link, from, to));
}
int unlinkat(int folder, const char* name, int flags) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
}
int fsync(int fd) {
  count_call();
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
}

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

Files files_of(const fs::path& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder).string()] = testing::read_file(entry.path());
    }
  }
  return files;
}

void write_old(const fs::path& out) {
  CheckpointWriter writer(out, {.max_shard_size = 1});
  for (const char* name : {"a", "b", "c"}) writer.add(name, Tensor::zeros(DType::kU8, {1}));
  writer.add_file("config.json", "old");
  writer.commit();
  testing::write_file(out / "notes.txt", "mine");
  fs::create_directory(out / "sub");
  testing::write_file(out / "sub" / "more.txt", "mine, too");
}

void write_new(const fs::path& out) {
  CheckpointWriter writer(out, {.max_shard_size = 1, .overwrite = true});
  for (const char* name : {"a", "b"}) writer.add(name, Tensor::zeros(DType::kF32, {1}));
  writer.add_file("config.json", "new");
  writer.commit();
}

// The exit status of a process that does write_new() and dies before call `calls`.
int overwrite_in_a_process_that_dies(const fs::path& out, int calls) {
  const pid_t child = ::fork();
  if (child == 0) {
    calls_to_live = calls;
    write_new(out);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

bool can_exchange(const testing::ScratchFolder& folder) {
  fs::create_directory(folder / "x");
  fs::create_directory(folder / "y");
  return ::renameat2(AT_FDCWD, (folder / "x").c_str(), AT_FDCWD, (folder / "y").c_str(),
                     RENAME_EXCHANGE) == 0;
}

TEST(KilledCommit, LeavesTheOldModelOrTheNewOne) {
  testing::ScratchFolder folder;
  if (!can_exchange(folder)) GTEST_SKIP() << "skipped: this file system exchanges no folders";
  write_old(folder / "old");
  const Files before = files_of(folder / "old");
  fs::copy(folder / "old", folder / "new", fs::copy_options::recursive);
  write_new(folder / "new");
  const Files after = files_of(folder / "new");
  ASSERT_EQ(after.at("notes.txt"), "mine");
  ASSERT_EQ(after.at("sub/more.txt"), "mine, too");
  ASSERT_FALSE(after.contains("model-00003-of-00003.safetensors"));

  int olds = 0, news = 0;
  for (int calls = 0;; ++calls) {
    const fs::path out = folder / "out";
    fs::remove_all(out);
    fs::copy(folder / "old", out, fs::copy_options::recursive);
    const int status = overwrite_in_a_process_that_dies(out, calls);
    const Files left = files_of(out);
    if (WIFEXITED(status)) {  // it lived to the end
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_EQ(left, after);
      break;
    }
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    EXPECT_TRUE(left == before || left == after) << "killed before call " << calls;
    (left == before ? olds : news)++;
    EXPECT_EQ(Checkpoint::open(out).names().size(), left == before ? 3u : 2u);
  }
  // The calls that are counted are those that matter: some before the exchange, some after.
  EXPECT_GT(olds, 5);
  EXPECT_GT(news, 2);
}

TEST(KilledCommit, AFolderThatSomebodyWorksInIsFilledFileByFile) {
  testing::ScratchFolder folder;
  write_old(folder / "out");
  const fs::path before = fs::current_path();
  fs::current_path(folder / "out");
  write_new(folder / "out");
  // The working folder is still the one that the name leads to.
  EXPECT_TRUE(fs::equivalent(fs::current_path(), folder / "out"));
  EXPECT_EQ(testing::read_file("config.json"), "new");
  EXPECT_EQ(testing::read_file("notes.txt"), "mine");
  fs::current_path(before);
}

TEST(KilledCommit, KeepsThePermissionsOfTheFolder) {
  testing::ScratchFolder folder;
  write_old(folder / "out");
  fs::permissions(folder / "out", fs::perms::owner_all);
  write_new(folder / "out");
  EXPECT_EQ(fs::status(folder / "out").permissions(), fs::perms::owner_all);
}

}  // namespace
}  // namespace nibble
