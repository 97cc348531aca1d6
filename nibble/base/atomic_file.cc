// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/mapped_file.h"

namespace nibble {
namespace {

[[noreturn]] void fail(const char* what, const std::filesystem::path& path) {
  throw Error(what).file(path).got(std::strerror(errno));
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  std::string name = target_.string() + ".XXXXXX.tmp";
  fd_ = ::mkostemps(name.data(), 4, O_CLOEXEC);
  if (fd_ < 0) fail("cannot create file", target_);
  ::fchmod(fd_, 0644);
  temporary_ = name;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      fail("cannot write file", target_);
    }
    written_ += n;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail("cannot flush file", target_);
  commit_unflushed();
}

void AtomicFile::commit_unflushed() {
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot replace file", target_);
  ::close(fd_);
  fd_ = -1;
}

void write_file_atomically(const std::filesystem::path& target, std::string_view text) {
  AtomicFile file(target);
  file.write(text);
  file.commit();
}

std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (static_cast<int64_t>(bytes.size()) > max_bytes) {
    throw Error("file is too large")
        .file(path)
        .expected(fmt::format("at most {} bytes", max_bytes))
        .got(fmt::format("{}", bytes.size()));
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace nibble
