// SPDX-License-Identifier: Apache-2.0
//
// Files and folders that appear whole or not at all: bytes go to a temporary name beside the
// target, are flushed to disk, and take the target's name in one rename. Whatever stood there
// before stands until then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();  // without commit(): removes the temporary file
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // All throw Error (with the path and the system's reason) when the disk is full or unwritable.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();  // flush, fsync, rename
  // The rename alone: a power cut may leave a torn file under the target's name. For what can be
  // made again and is checked when it is read.
  void commit_unflushed();

  int64_t bytes_written() const { return written_; }

 private:
  std::filesystem::path target_, temporary_;
  int fd_ = -1;
  int64_t written_ = 0;
};

// Writes a small text file atomically.
void write_file_atomically(const std::filesystem::path& target, std::string_view text);

// The whole content of a small file as text. Throws Error when unreadable or above `max_bytes`.
std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 30);

}  // namespace nibble
