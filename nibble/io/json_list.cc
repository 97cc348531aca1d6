// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/json_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

// Corpora are larger than configs; above this a list should be a .jsonl in parts.
constexpr JsonLimits kListLimits{.max_bytes = int64_t{1} << 30};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void for_each_line(const std::filesystem::path& file, int64_t limit,
                   const std::function<void(const JsonEntry&)>& visit) {
  const std::string content = read_text_file(file);
  std::string_view rest = content;
  int64_t visited = 0;
  for (int64_t line = 1; !rest.empty(); ++line) {
    if (limit > 0 && visited == limit) break;
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (is_blank(text)) continue;
    const std::filesystem::path where = fmt::format("{}:{}", file.string(), line);
    visit({parse_json(text, where), line, where});
    ++visited;
  }
}

}  // namespace

bool is_json_list(const std::filesystem::path& file) {
  return file.extension() == ".json" || file.extension() == ".jsonl";
}

void for_each_json_entry(const std::filesystem::path& file, int64_t limit,
                         const std::function<void(const JsonEntry&)>& visit) {
  if (file.extension() == ".jsonl") return for_each_line(file, limit, visit);
  const nlohmann::ordered_json list = read_json_file(file, kListLimits);
  if (!list.is_array()) {
    throw Error("not a list").file(file).expected("a JSON list").got(list.type_name());
  }
  int64_t number = 0;
  for (const nlohmann::ordered_json& value : list) {
    if (limit > 0 && number == limit) break;
    ++number;
    visit({value, number, fmt::format("{}: entry {}", file.string(), number)});
  }
}

}  // namespace nibble
