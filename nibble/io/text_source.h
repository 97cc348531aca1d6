// SPDX-License-Identifier: Apache-2.0
//
// Text files that a user brings, plain or compressed by zstd: FILE.zst reads as FILE does. They are
// decompressed as they are read, frame after frame; the window of a frame is at most 128 MiB, which
// is what zstd itself takes without --long.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace nibble {

// The path without ".zst" at its end, by which the kind of a file is told.
std::filesystem::path without_compression(const std::filesystem::path& file);

// The whole text. Throws Error when unreadable, damaged, cut off or above `max_bytes`.
std::string read_text(const std::filesystem::path& file, int64_t max_bytes = int64_t{1} << 30);

// Visits each line, without its line break, until `visit` says false: what comes behind is not
// decompressed. Memory holds one line, which is at most `max_bytes` long. Throws Error as
// read_text() does.
void for_each_line(const std::filesystem::path& file,
                   const std::function<bool(std::string_view line)>& visit,
                   int64_t max_bytes = int64_t{1} << 30);

}  // namespace nibble
