// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/resident_memory.h"

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

namespace nibble {
namespace {

// "VmRSS:\t    1652 kB" as bytes; absent when the line has another form.
std::optional<int64_t> bytes_of_status_line(std::string_view line) {
  constexpr std::string_view kUnit = " kB";
  const size_t digits = line.find_first_of("0123456789");
  if (digits == std::string_view::npos || !line.ends_with(kUnit)) return std::nullopt;
  const char* last = line.data() + line.size() - kUnit.size();
  int64_t kilobytes = 0;
  const auto [end, failure] = std::from_chars(line.data() + digits, last, kilobytes);
  if (failure != std::errc() || end != last) return std::nullopt;
  return kilobytes * 1024;
}

}  // namespace

ResidentMemory resident_memory() {
  ResidentMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) memory.bytes = bytes_of_status_line(line);
    if (line.starts_with("VmHWM:")) memory.peak_bytes = bytes_of_status_line(line);
  }
  return memory;
}

bool reset_peak_resident_memory() {
  // proc(5): 5 resets the peak resident set size.
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;
  return clear.good();
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace nibble
