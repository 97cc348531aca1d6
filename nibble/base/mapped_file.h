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

// Advice about a part of a MappedFile. The first asks the system to read it in the background; the
// second takes its pages out of this process, to be read again if they are touched again.
void prefetch_mapped(std::span<const std::byte> part) noexcept;
void drop_mapped(std::span<const std::byte> part) noexcept;

}  // namespace nibble
