// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzzing.h"

#include <sanitizer/allocator_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/utf8.h"

namespace nibble::fuzz {
namespace {

// Of the whole process. Hooks may not allocate, so the counters stand alone.
std::atomic<int64_t> live_bytes{0};
std::atomic<int64_t> most_live_bytes{0};  // allowed now; 0: no bound

void on_allocation(const volatile void*, size_t size) {
  const int64_t live =
      live_bytes.fetch_add(static_cast<int64_t>(size)) + static_cast<int64_t>(size);
  const int64_t most = most_live_bytes.load();
  if (most > 0 && live > most) {
    most_live_bytes = 0;  // the report allocates, too
    std::fprintf(stderr, "the input takes more memory than its size allows: %lld bytes over\n",
                 static_cast<long long>(live - most));
    std::abort();
  }
}

void on_release(const volatile void* pointer) {
  live_bytes.fetch_sub(static_cast<int64_t>(__sanitizer_get_allocated_size(pointer)));
}

void count_allocations() {
  static const bool installed =
      __sanitizer_install_malloc_and_free_hooks(on_allocation, on_release) != 0;
  require(installed, "allocations can be counted");
}

class BoundedMemory {
 public:
  explicit BoundedMemory(size_t bytes) {
    count_allocations();
    most_live_bytes = live_bytes + static_cast<int64_t>(bytes);
  }
  ~BoundedMemory() { most_live_bytes = 0; }
  BoundedMemory(const BoundedMemory&) = delete;
  BoundedMemory& operator=(const BoundedMemory&) = delete;
};

bool is_one_printable_line(std::string_view message) {
  if (message.empty() || !is_valid_utf8(message)) return false;
  for (size_t at = 0; at < message.size();) {
    const char32_t c = next_code_point(message, at);
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029) return false;
  }
  return true;
}

struct ScratchFolder {
  ScratchFolder() {
    std::string name = "/dev/shm/nibble-fuzz.XXXXXX";
    require(::mkdtemp(name.data()) != nullptr, "a scratch folder can be made");
    path = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

}  // namespace

InputFile::InputFile(std::string_view bytes) : fd_(::memfd_create("input", MFD_CLOEXEC)) {
  require(fd_ >= 0, "a file in memory can be made");
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t n = ::write(fd_, bytes.data() + written, bytes.size() - written);
    require(n > 0, "a file in memory can be written");
    written += static_cast<size_t>(n);
  }
  path_ = "/proc/self/fd/" + std::to_string(fd_);
}

InputFile::~InputFile() { ::close(fd_); }

const std::filesystem::path& scratch_folder() {
  static const ScratchFolder folder;
  return folder.path;
}

void write_scratch(std::string_view name, std::string_view content) {
  std::ofstream file(scratch_folder() / name, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  require(file.good(), "a scratch file can be written");
}

void require(bool condition, const char* promise) {
  if (condition) return;
  std::fprintf(stderr, "a promise does not hold: %s\n", promise);
  std::abort();
}

}  // namespace nibble::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble::fuzz;
  const BoundedMemory memory(kMemory.fixed + kMemory.per_byte * size);
  try {
    read({data, size});
  } catch (const nibble::Error& error) {
    if (is_one_printable_line(error.what())) return 0;
    std::fprintf(stderr, "the message is not one printable line: <<<%s>>>\n", error.what());
    std::abort();
  }
  return 0;
}
