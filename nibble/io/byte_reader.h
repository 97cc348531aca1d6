// SPDX-License-Identifier: Apache-2.0
//
// Reads little-endian values one after the other from bytes that may lie: every read is checked
// against what is left and fails with file and byte offset.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <type_traits>

#include "nibble/base/error.h"

namespace nibble {

static_assert(std::endian::native == std::endian::little, "values are copied as they stand");

class ByteReader {
 public:
  // `offset` is that of `bytes` within the file.
  ByteReader(const std::filesystem::path& path, std::span<const std::byte> bytes,
             int64_t offset = 0)
      : path_(path), bytes_(bytes), base_(offset) {}

  int64_t offset() const { return base_ + static_cast<int64_t>(position_); }  // in the file
  int64_t remaining() const { return static_cast<int64_t>(bytes_.size() - position_); }

  template <typename T>
  T read(std::string_view what) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    require(count, 1, what);
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return taken;
  }

  // `count` items of at least `size` bytes must still fit: to be called before any allocation.
  void require(uint64_t count, int64_t size, std::string_view what) const {
    if (count > static_cast<uint64_t>(remaining() / size)) {
      throw Error(fmt::format("file ends within {}", what))
          .file(path_)
          .expected(size == 1 ? fmt::format("{} bytes", count)
                              : fmt::format("{} items of at least {} bytes", count, size))
          .got(fmt::format("{} bytes", remaining()))
          .at_byte(offset())
          .hint("the download may be incomplete");
    }
  }

  // A 64-bit length, then as many bytes.
  std::string_view read_string(std::string_view what) {
    const auto length = read<uint64_t>(what);
    const auto text = take(length, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path& path_;
  std::span<const std::byte> bytes_;
  int64_t base_;
  size_t position_ = 0;
};

}  // namespace nibble
