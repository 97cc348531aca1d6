// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/text_list.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/io/json_file.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// Corpora are larger than configs; above this a text list should be a .jsonl in parts.
constexpr JsonLimits kListLimits{.max_bytes = int64_t{1} << 30};

std::string text_of_entry(const Json& value, const std::filesystem::path& file, int64_t entry) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    const auto it = value.find("text");
    if (it != value.end() && it->is_string()) return it->get<std::string>();
  }
  throw Error(fmt::format("entry {} is not a text", entry))
      .file(file)
      .expected("a string, or an object with a string \"text\"")
      .got(value.is_object() ? "an object without it" : value.type_name());
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

std::vector<std::string> read_lines(const std::filesystem::path& file, int64_t limit) {
  const std::string content = read_text_file(file);
  std::vector<std::string> texts;
  std::string_view rest = content;
  for (int64_t line = 1; !rest.empty(); ++line) {
    if (limit > 0 && static_cast<int64_t>(texts.size()) == limit) break;
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (is_blank(text)) continue;
    const std::filesystem::path where = fmt::format("{}:{}", file.string(), line);
    texts.push_back(text_of_entry(parse_json(text, where), file, line));
  }
  return texts;
}

}  // namespace

bool is_text_list(const std::filesystem::path& file) {
  return file.extension() == ".json" || file.extension() == ".jsonl";
}

std::vector<std::string> read_text_list(const std::filesystem::path& file, int64_t limit) {
  if (file.extension() == ".jsonl") return read_lines(file, limit);
  const Json list = read_json_file(file, kListLimits);
  if (!list.is_array()) {
    throw Error("not a list of texts").file(file).expected("a JSON list").got(list.type_name());
  }
  std::vector<std::string> texts;
  for (const Json& value : list) {
    if (limit > 0 && static_cast<int64_t>(texts.size()) == limit) break;
    texts.push_back(text_of_entry(value, file, static_cast<int64_t>(texts.size()) + 1));
  }
  return texts;
}

}  // namespace nibble
