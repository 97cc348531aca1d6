// SPDX-License-Identifier: Apache-2.0
//
// A whole file mapped read-only into memory. Pages are read when touched and can be dropped by the
// kernel at any time, so opening a checkpoint costs no memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace nibble {

class MappedFile {
 public:
  // Throws Error when the file cannot be opened, is not a regular file or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, size_t size);

  std::filesystem::path path_;
  const std::byte* data_;
  size_t size_;
};

}  // namespace nibble
