// SPDX-License-Identifier: Apache-2.0
//
// A file of many JSON values that a user brings: texts, questions. Either .jsonl, one value a line
// and blank lines passed over, or .json, one list; .jsonl.zst and .json.zst are these, compressed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace nibble {

// True for .json and .jsonl, compressed or not.
bool is_json_list(const std::filesystem::path& file);

// A line of a .jsonl file that is no entry.
bool is_blank_line(std::string_view line);

struct JsonEntry {
  const nlohmann::ordered_json& value;
  int64_t number;               // the line of a .jsonl file, else the place in the list, from 1
  std::filesystem::path where;  // what errors show as the file: "FILE:LINE" or "FILE: entry N"
};

// Visits the first `limit` values (0: all) in order, or until `visit` says false. A .jsonl file is
// read and parsed line by line, so it may be larger than memory, and what comes behind the limit
// need not be JSON. Throws Error with file and place.
void for_each_json_entry(const std::filesystem::path& file, int64_t limit,
                         const std::function<bool(const JsonEntry&)>& visit);

}  // namespace nibble
