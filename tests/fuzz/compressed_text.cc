// SPDX-License-Identifier: Apache-2.0
//
// A .zst file, as a whole text and line by line.
#include "nibble/base/error.h"
#include "nibble/io/text_source.h"
#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {
namespace {

constexpr int64_t kMostBytes = 1 << 20;  // a few bytes of input make any amount of text

}  // namespace

// The window that a frame may ask for, its buffers beside it.
const MemoryBound kMemory{.fixed = size_t{140} << 20, .per_byte = 16};

void read(Input input) {
  write_scratch("text.zst", text_of(input));
  const auto file = scratch_folder() / "text.zst";
  const std::string text = read_text(file, kMostBytes);
  std::string lines;
  for_each_line(
      file,
      [&](std::string_view line) {
        lines.append(line).push_back('\n');
        return true;
      },
      kMostBytes);
  if (!text.empty() && text.back() != '\n') lines.pop_back();
  require(lines == text, "lines make up the text");
}

}  // namespace nibble::fuzz
