// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/file_handle.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "nibble/base/error.h"

namespace nibble {
namespace {

constexpr size_t kCopyBuffer = size_t{1} << 20;

[[noreturn]] void fail(const char* what, const std::filesystem::path& path) {
  throw Error(what).file(path).got(std::strerror(errno));
}

}  // namespace

FileHandle::FileHandle(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}

FileHandle::FileHandle(FileHandle&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

FileHandle::~FileHandle() {
  if (fd_ >= 0) ::close(fd_);
}

FileHandle FileHandle::create(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) fail("cannot create file", path);
  return FileHandle(fd, path);
}

FileHandle FileHandle::open(const std::filesystem::path& path) {
  // O_NONBLOCK: to open a named pipe would wait for a writer, which may never come.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail("cannot open file", path);
  return FileHandle(fd, path);
}

FileHandle FileHandle::reopen(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) fail("cannot open file", path);
  if (::lseek(fd, 0, SEEK_END) < 0) {
    ::close(fd);
    fail("cannot seek in file", path);
  }
  return FileHandle(fd, path);
}

std::optional<FileHandle> FileHandle::lock_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  FileHandle handle(fd, folder);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  return handle;
}

void FileHandle::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write file", path_);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void FileHandle::append(std::string_view text) { append(std::as_bytes(std::span(text))); }

void FileHandle::append_range(const FileHandle& from, int64_t offset, int64_t count) {
  // Works on one file system at least; else, or where a file system lies about it by copying
  // nothing, the loop below does the rest.
  while (count > 0) {
    off64_t at = offset;
    const ssize_t n = ::copy_file_range(from.fd_, &at, fd_, nullptr, static_cast<size_t>(count), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    offset += n;
    count -= n;
  }
  if (count <= 0) return;
  std::vector<std::byte> buffer(kCopyBuffer);
  while (count > 0) {
    const size_t wanted = std::min(static_cast<size_t>(count), kCopyBuffer);
    const ssize_t n = ::pread(from.fd_, buffer.data(), wanted, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot read file", from.path_);
    if (n == 0) throw Error("file ended early").file(from.path_).at_byte(offset);
    append(std::span(buffer).first(static_cast<size_t>(n)));
    offset += n;
    count -= n;
  }
}

void FileHandle::write_at(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write file", path_);
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += n;
  }
}

size_t FileHandle::read_at(int64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        ::pread(fd_, out.data() + done, out.size() - done, offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot read file", path_);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

void FileHandle::truncate(int64_t size) {
  if (::ftruncate(fd_, size) != 0 || ::lseek(fd_, size, SEEK_SET) < 0) {
    fail("cannot shorten file", path_);
  }
}

void FileHandle::start_writeback(int64_t offset, int64_t count) noexcept {
  ::sync_file_range(fd_, offset, count, SYNC_FILE_RANGE_WRITE);  // advice: it may fail
}

void FileHandle::flush() {
  if (::fsync(fd_) != 0) fail("cannot flush file", path_);
}

int64_t FileHandle::size() const {
  struct stat status{};
  if (::fstat(fd_, &status) != 0) fail("cannot read the size of file", path_);
  return status.st_size;
}

void flush_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open folder", folder);
  const bool flushed = ::fsync(fd) == 0;
  const int reason = errno;
  ::close(fd);
  errno = reason;
  // Some network file systems know no fsync of folders.
  if (!flushed && reason != EINVAL) fail("cannot flush folder", folder);
}

}  // namespace nibble
