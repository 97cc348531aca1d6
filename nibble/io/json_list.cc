// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/json_list.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"
#include "nibble/io/text_source.h"

namespace nibble {
namespace {

// Corpora are larger than configs; above this a list should be a .jsonl in parts.
constexpr JsonLimits kListLimits{.max_bytes = int64_t{1} << 30};

void for_each_entry_line(const std::filesystem::path& file, int64_t limit,
                         const std::function<bool(const JsonEntry&)>& visit) {
  int64_t line = 0, visited = 0;
  for_each_line(file, [&](std::string_view text) {
    ++line;
    if (is_blank_line(text)) return true;
    const std::filesystem::path where = fmt::format("{}:{}", file.string(), line);
    ++visited;
    return visit({parse_json(text, where), line, where}) && visited != limit;
  });
}

}  // namespace

bool is_blank_line(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

bool is_json_list(const std::filesystem::path& file) {
  const std::filesystem::path kind = without_compression(file).extension();
  return kind == ".json" || kind == ".jsonl";
}

void for_each_json_entry(const std::filesystem::path& file, int64_t limit,
                         const std::function<bool(const JsonEntry&)>& visit) {
  if (without_compression(file).extension() == ".jsonl") {
    return for_each_entry_line(file, limit, visit);
  }
  const nlohmann::ordered_json list =
      parse_json(read_text(file, kListLimits.max_bytes), file, kListLimits);
  if (!list.is_array()) {
    throw Error("not a list").file(file).expected("a JSON list").got(list.type_name());
  }
  int64_t number = 0;
  for (const nlohmann::ordered_json& value : list) {
    ++number;
    if (!visit({value, number, fmt::format("{}: entry {}", file.string(), number)})) return;
    if (number == limit) return;
  }
}

}  // namespace nibble
