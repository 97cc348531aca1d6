// SPDX-License-Identifier: Apache-2.0
//
// Files of torch.save, made byte by byte: zip archives of stored members, and the legacy sequence
// of pickles.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/io/io_testing.h"

namespace nibble::testing {

// The directory of a zip archive whose members are written elsewhere. All values are in the zip64
// fields, whether they need it or not.
class ZipDirectory {
 public:
  // What stands before the bytes of a member.
  static std::string local_header(std::string_view name, uint16_t method = 0) {
    return std::string("PK\x03\x04", 4) + le<uint16_t>(45) + le<uint16_t>(0) + le(method) +
           le<uint32_t>(0) + le<uint32_t>(0) + le<uint32_t>(0xffffffff) + le<uint32_t>(0xffffffff) +
           le(static_cast<uint16_t>(name.size())) + le<uint16_t>(0) + std::string(name);
  }

  void add(std::string_view name, uint64_t header_at, uint64_t size, uint16_t method = 0,
           uint16_t flags = 0) {
    const std::string extra =
        le<uint16_t>(1) + le<uint16_t>(24) + le(size) + le(size) + le(header_at);
    entries_ += std::string("PK\x01\x02", 4) + le<uint16_t>(45) + le<uint16_t>(45) + le(flags) +
                le(method) + le<uint32_t>(0) + le<uint32_t>(0) + le<uint32_t>(0xffffffff) +
                le<uint32_t>(0xffffffff) + le(static_cast<uint16_t>(name.size())) +
                le(static_cast<uint16_t>(extra.size())) + le<uint16_t>(0) + le<uint64_t>(0) +
                le<uint32_t>(0xffffffff) + std::string(name) + extra;
    ++count_;
  }

  // What stands from byte `at` of the file to its end.
  std::string end(uint64_t at) const {
    const std::string end64 = std::string("PK\x06\x06", 4) + le<uint64_t>(44) + le<uint16_t>(45) +
                              le<uint16_t>(45) + le<uint64_t>(0) + le(count_) + le(count_) +
                              le<uint64_t>(entries_.size()) + le(at);
    const std::string locator = std::string("PK\x06\x07", 4) + le<uint32_t>(0) +
                                le<uint64_t>(at + entries_.size()) + le<uint32_t>(1);
    return entries_ + end64 + locator + std::string("PK\x05\x06", 4) + le<uint64_t>(0xffffffff) +
           std::string(8, '\xff') + le<uint16_t>(0);
  }

 private:
  std::string entries_;
  uint64_t count_ = 0;
};

using ZipMembers = std::vector<std::pair<std::string, std::string>>;

inline std::string zip_of(const ZipMembers& members) {
  std::string file;
  ZipDirectory directory;
  for (const auto& [name, bytes] : members) {
    directory.add(name, file.size(), bytes.size());
    file += ZipDirectory::local_header(name) + bytes;
  }
  return file + directory.end(file.size());
}

// An archive with this pickle and one storage "0".
inline std::string torch_zip(std::string_view pickle, std::string_view storage = "") {
  return zip_of({{"a/data.pkl", std::string(pickle)}, {"a/data/0", std::string(storage)}});
}

// The pickles that open a legacy file.
inline std::string legacy_head() {
  return std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15) +
         std::string("\x80\x02M\xe9\x03.", 6) + std::string("\x80\x02}.", 4);
}

// Instructions.
inline std::string text(std::string_view value) {
  return 'X' + le(static_cast<uint32_t>(value.size())) + std::string(value);
}
inline std::string integer(int64_t value) { return std::string("\x8a\x08", 2) + le(value); }
inline std::string global(std::string_view module, std::string_view name) {
  return 'c' + std::string(module) + '\n' + std::string(name) + '\n';
}
inline std::string tuple_of(const std::vector<int64_t>& values) {
  std::string code = "(";
  for (const int64_t value : values) code += integer(value);
  return code + 't';
}

// A storage of class `type` with key "0".
inline std::string storage(std::string_view type, int64_t numel) {
  return '(' + text("storage") + global("torch", type) + text("0") + text("cpu") + integer(numel) +
         "tQ";
}

// A tensor on it, as _rebuild_tensor_v2 makes it.
inline std::string tensor(const std::string& on, int64_t first, const std::vector<int64_t>& sizes,
                          const std::vector<int64_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") + '(' + on + integer(first) +
         tuple_of(sizes) + tuple_of(strides) + std::string("\x89") +
         global("collections", "OrderedDict") + ")RtR";
}

// A pickle of {"w": `value`}.
inline std::string state_dict(const std::string& value) {
  return std::string("\x80\x02}", 3) + text("w") + value + "s.";
}

}  // namespace nibble::testing
