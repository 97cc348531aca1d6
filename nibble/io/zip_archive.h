// SPDX-License-Identifier: Apache-2.0
//
// The members of a zip archive whose bytes stand in it as they are (method "stored"), which is how
// torch.save writes: a table from names to places in the mapped file, zip64 included. Nothing is
// decompressed and no CRC is computed, since that would read the whole file.
//
// Source: PKWARE APPNOTE.TXT, sections 4.3 and 4.5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

struct ZipMember {
  int64_t offset = 0;  // of its bytes, from the start of the file
  int64_t size = 0;
};

class ZipArchive {
 public:
  // True when `file` begins as an archive does.
  static bool begins(std::span<const std::byte> file);

  // Reads the directory at the end of `file`, which must outlive the archive only while members are
  // taken. Throws Error with byte offset: no directory (a file cut short), a member that is
  // compressed, encrypted, named twice or reaches past the end, an archive in several parts.
  ZipArchive(const std::filesystem::path& path, std::span<const std::byte> file);

  const std::string& root() const { return root_; }  // folder of the first member: "archive"

  // `name` within root(). `find` gives nullptr when there is none.
  const ZipMember* find(std::string_view name) const;
  std::span<const std::byte> bytes(const ZipMember& member) const;

 private:
  std::span<const std::byte> file_;
  std::string root_;
  std::map<std::string, ZipMember, std::less<>> members_;  // by name within root_
};

}  // namespace nibble
