// SPDX-License-Identifier: Apache-2.0
//
// What all fuzz targets share: the input as a file or a folder, and the promises that hold for any
// input: only nibble::Error is thrown, its message is one printable line, and memory stays within a
// multiple of the input's size. A broken promise ends the process, which libFuzzer reports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace nibble::fuzz {

using Input = std::span<const uint8_t>;

inline std::string_view text_of(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

// Bytes as a regular file that exists in memory only.
class InputFile {
 public:
  explicit InputFile(std::string_view bytes);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  int fd_;
  std::filesystem::path path_;
};

// A folder of this process under /dev/shm, removed when the process ends.
const std::filesystem::path& scratch_folder();
void write_scratch(std::string_view name, std::string_view content);

// How much memory an input may make a parser hold at one time.
struct MemoryBound {
  size_t fixed = 0;     // whatever the input
  size_t per_byte = 0;  // times the input's size
};

// Ends the process unless `condition` holds.
void require(bool condition, const char* promise);

// What each target defines. read() may throw Error.
extern const MemoryBound kMemory;
void read(Input input);

}  // namespace nibble::fuzz
