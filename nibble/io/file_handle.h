// SPDX-License-Identifier: Apache-2.0
//
// An open file for building checkpoints: appended to, copied between, flushed. It closes itself and
// removes nothing; whoever owns the folder does. All functions throw Error with path and reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace nibble {

class FileHandle {
 public:
  static FileHandle create(const std::filesystem::path& path);  // must not exist yet
  static FileHandle open(const std::filesystem::path& path);    // read-only

  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&&) = delete;
  ~FileHandle();

  void append(std::span<const std::byte> bytes);
  void append(std::string_view text);
  // Bytes [offset, offset + count) of `from`, within the kernel where the file system can.
  void append_range(const FileHandle& from, int64_t offset, int64_t count);
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
