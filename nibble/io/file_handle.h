// SPDX-License-Identifier: Apache-2.0
//
// An open file for building checkpoints: appended to, written at places, copied between, flushed.
// It closes itself and removes nothing; whoever owns the folder does. All functions throw Error
// with path and reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

namespace nibble {

class FileHandle {
 public:
  static FileHandle create(const std::filesystem::path& path);  // must not exist yet
  static FileHandle open(const std::filesystem::path& path);    // read-only
  static FileHandle reopen(const std::filesystem::path& path);  // to go on writing
  // The folder itself, for as long as the handle lives held against other processes that ask here;
  // the system lets go when a process dies. Absent when it is held or the file system cannot tell.
  static std::optional<FileHandle> lock_folder(const std::filesystem::path& folder);

  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&&) = delete;
  ~FileHandle();

  void append(std::span<const std::byte> bytes);
  void append(std::string_view text);
  // Bytes [offset, offset + count) of `from`, within the kernel where the file system can.
  void append_range(const FileHandle& from, int64_t offset, int64_t count);
  // At a place of its own, from any thread; append() goes on where it was.
  void write_at(int64_t offset, std::span<const std::byte> bytes);
  // Up to the size of `out`; fewer bytes only at the end of the file.
  size_t read_at(int64_t offset, std::span<std::byte> out) const;
  void truncate(int64_t size);  // append() goes on there
  // Asks the kernel to begin writing this range to the disk, so that no flood of it comes later.
  void start_writeback(int64_t offset, int64_t count) noexcept;
  void flush();  // to the disk (fsync)

  int64_t size() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  FileHandle(int fd, std::filesystem::path path);

  int fd_;
  std::filesystem::path path_;
};

// Makes renames, creations and removals within a folder durable.
void flush_folder(const std::filesystem::path& folder);

}  // namespace nibble
