// SPDX-License-Identifier: Apache-2.0
//
// Small JSON files (config.json, an index of shards) from disk and back. Reading is bounded in size
// and depth and takes time linear in the size; writing is atomic. Big vocabularies have readers of
// their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace nibble {

struct JsonLimits {
  int64_t max_bytes = int64_t{64} << 20;
  int max_depth = 64;  // nested objects and arrays; copying and printing a value recurse this deep
};

// Keeps the order of keys. Of a key that comes twice the last value counts, at the first place, as
// in Python. Integers beyond 64 bits become doubles. Throws Error with line, column and byte
// offset.
nlohmann::ordered_json read_json_file(const std::filesystem::path& path, JsonLimits limits = {});

// The same for text in memory; `source` is the file name that errors show.
nlohmann::ordered_json parse_json(std::string_view text, const std::filesystem::path& source,
                                  JsonLimits limits = {});

// Indented by 2, other than ASCII escaped, one line break at the end: as transformers writes
// config.json (which also sorts keys: that is the caller's choice). Throws Error when a string is
// not UTF-8 or a number is not finite, since JSON can express neither.
std::string format_json(const nlohmann::ordered_json& value);
void write_json_file(const std::filesystem::path& path, const nlohmann::ordered_json& value);

}  // namespace nibble
