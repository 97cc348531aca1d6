// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/zip_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/byte_reader.h"

namespace nibble {
namespace {

constexpr std::string_view kLocalSignature("PK\x03\x04", 4);
constexpr std::string_view kEntrySignature("PK\x01\x02", 4);
constexpr std::string_view kEndSignature("PK\x05\x06", 4);
constexpr std::string_view kEnd64Signature("PK\x06\x06", 4);
constexpr std::string_view kLocator64Signature("PK\x06\x07", 4);

// Fixed parts, signatures included.
constexpr int64_t kEntryBytes = 46, kEndBytes = 22, kLocator64Bytes = 20;
constexpr int64_t kLongestComment = 0xffff;
constexpr uint16_t kZip64Field = 1;
constexpr uint32_t kIn64 = 0xffffffff;  // the true value is in the zip64 field
constexpr uint16_t kEncryptedFlag = 1;

// What the directory says of a member.
struct Entry {
  std::string_view name;
  uint16_t flags = 0, method = 0;
  uint64_t stored_size = 0, size = 0, header_offset = 0;
  int64_t at = 0;  // of the entry itself
};

class DirectoryReader {
 public:
  DirectoryReader(const std::filesystem::path& path, std::span<const std::byte> file)
      : path_(path), file_(file) {}

  std::vector<Entry> read() {
    locate();
    ByteReader reader = at(directory_, "the directory of the zip archive");
    reader.require(count_, kEntryBytes, "the directory of the zip archive");
    std::vector<Entry> entries;
    for (uint64_t i = 0; i < count_; ++i) entries.push_back(read_entry(reader));
    return entries;
  }

  // Where the bytes of `entry` begin, which its local header says.
  ZipMember place(const Entry& entry) const {
    if (entry.flags & kEncryptedFlag) throw error(entry, "member of the zip archive is encrypted");
    if (entry.method != 0 || entry.stored_size != entry.size) {
      throw error(entry, "member of the zip archive is compressed")
          .expected("stored members, as torch.save writes them")
          .hint("load the file with torch and save it again");
    }
    ByteReader header = at(entry.header_offset, "a member of the zip archive");
    if (text(header.take(4, "a member of the zip archive")) != kLocalSignature) {
      throw error(entry, "member of the zip archive is not where the directory says");
    }
    header.take(22, "a member of the zip archive");  // as in the directory, or absent here
    const auto name_size = header.read<uint16_t>("a member of the zip archive");
    const auto extra_size = header.read<uint16_t>("a member of the zip archive");
    if (text(header.take(name_size, "a member of the zip archive")) != entry.name) {
      throw error(entry, "member of the zip archive is not where the directory says");
    }
    header.take(extra_size, "a member of the zip archive");
    header.require(entry.size, 1, "a member of the zip archive");
    return {header.offset(), static_cast<int64_t>(entry.size)};
  }

  Error error(const Entry& entry, const char* what) const {
    return Error(fmt::format("{}: '{}'", what, entry.name)).file(path_).at_byte(entry.at);
  }

 private:
  static std::string_view text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  ByteReader at(uint64_t offset, std::string_view what) const {
    ByteReader whole(path_, file_);
    whole.take(offset, what);
    return whole;
  }

  // Finds the directory: its end record is the last thing in the file but for a comment.
  void locate() {
    const int64_t earliest = std::max<int64_t>(0, std::ssize(file_) - kEndBytes - kLongestComment);
    const std::string_view tail = text(file_).substr(static_cast<size_t>(earliest));
    const size_t found = tail.rfind(kEndSignature);
    if (found == tail.npos) {
      throw Error("zip archive has no directory at its end")
          .file(path_)
          .hint("the download may be incomplete");
    }
    const int64_t end_at = earliest + static_cast<int64_t>(found);
    ByteReader end = at(static_cast<uint64_t>(end_at + 4), "the end of the zip archive");
    const auto disk = end.read<uint16_t>("the end of the zip archive");
    end.take(4, "the end of the zip archive");
    count_ = end.read<uint16_t>("the end of the zip archive");
    end.take(4, "the end of the zip archive");
    directory_ = end.read<uint32_t>("the end of the zip archive");
    if (read_end64(end_at)) return;
    if (disk != 0) throw Error("zip archive has several parts").file(path_).at_byte(end_at);
  }

  bool read_end64(int64_t end_at) {
    if (end_at < kLocator64Bytes) return false;
    ByteReader locator = at(static_cast<uint64_t>(end_at - kLocator64Bytes), "the zip archive");
    if (text(locator.take(4, "the zip64 locator")) != kLocator64Signature) return false;
    locator.take(4, "the zip64 locator");
    ByteReader end = at(locator.read<uint64_t>("the zip64 locator"), "the zip64 record");
    if (text(end.take(4, "the zip64 record")) != kEnd64Signature) {
      throw Error("zip64 record is not where its locator says")
          .file(path_)
          .at_byte(end_at - kLocator64Bytes);
    }
    end.take(28, "the zip64 record");
    count_ = end.read<uint64_t>("the zip64 record");
    end.take(8, "the zip64 record");
    directory_ = end.read<uint64_t>("the zip64 record");
    return true;
  }

  Entry read_entry(ByteReader& reader) const {
    constexpr std::string_view kWhat = "the directory of the zip archive";
    Entry entry;
    entry.at = reader.offset();
    if (text(reader.take(4, kWhat)) != kEntrySignature) {
      throw Error("directory of the zip archive is malformed").file(path_).at_byte(entry.at);
    }
    reader.take(4, kWhat);  // versions
    entry.flags = reader.read<uint16_t>(kWhat);
    entry.method = reader.read<uint16_t>(kWhat);
    reader.take(8, kWhat);  // time, CRC
    entry.stored_size = reader.read<uint32_t>(kWhat);
    entry.size = reader.read<uint32_t>(kWhat);
    const auto name_size = reader.read<uint16_t>(kWhat);
    const auto extra_size = reader.read<uint16_t>(kWhat);
    const auto comment_size = reader.read<uint16_t>(kWhat);
    reader.take(8, kWhat);  // disk, attributes
    entry.header_offset = reader.read<uint32_t>(kWhat);
    entry.name = text(reader.take(name_size, kWhat));
    const int64_t extra_at = reader.offset();
    read_extra(ByteReader(path_, reader.take(extra_size, kWhat), extra_at), entry);
    reader.take(comment_size, kWhat);
    return entry;
  }

  // The zip64 field holds, in this order, those values that do not fit into 32 bits.
  static void read_extra(ByteReader extra, Entry& entry) {
    constexpr std::string_view kWhat = "an extra field of the zip archive";
    constexpr int64_t kFieldHeader = 4;
    while (extra.remaining() >= kFieldHeader) {
      const auto id = extra.read<uint16_t>(kWhat);
      const auto size = extra.read<uint16_t>(kWhat);
      const int64_t field_at = extra.offset();
      ByteReader field(extra.path(), extra.take(size, kWhat), field_at);
      if (id != kZip64Field) continue;
      for (uint64_t* value : {&entry.size, &entry.stored_size, &entry.header_offset}) {
        if (*value == kIn64) *value = field.read<uint64_t>(kWhat);
      }
      return;
    }
  }

  const std::filesystem::path& path_;
  std::span<const std::byte> file_;
  uint64_t count_ = 0, directory_ = 0;
};

}  // namespace

bool ZipArchive::begins(std::span<const std::byte> file) {
  return file.size() >= kLocalSignature.size() &&
         std::memcmp(file.data(), kLocalSignature.data(), kLocalSignature.size()) == 0;
}

ZipArchive::ZipArchive(const std::filesystem::path& path, std::span<const std::byte> file)
    : file_(file) {
  DirectoryReader directory(path, file);
  const std::vector<Entry> entries = directory.read();
  if (entries.empty()) throw Error("zip archive is empty").file(path);
  root_ = entries.front().name.substr(0, entries.front().name.find('/'));
  const std::string prefix = root_ + '/';
  for (const Entry& entry : entries) {
    if (!entry.name.starts_with(prefix)) continue;
    const std::string_view name = entry.name.substr(prefix.size());
    if (!members_.emplace(name, directory.place(entry)).second) {
      throw directory.error(entry, "member of the zip archive comes twice");
    }
  }
}

const ZipMember* ZipArchive::find(std::string_view name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? nullptr : &found->second;
}

std::span<const std::byte> ZipArchive::bytes(const ZipMember& member) const {
  return file_.subspan(static_cast<size_t>(member.offset), static_cast<size_t>(member.size));
}

}  // namespace nibble
