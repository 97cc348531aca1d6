// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/text_list.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/json_list.h"

namespace nibble {
namespace {

std::string text_of_entry(const JsonEntry& entry, const std::filesystem::path& file) {
  const nlohmann::ordered_json& value = entry.value;
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    const auto it = value.find("text");
    if (it != value.end() && it->is_string()) return it->get<std::string>();
  }
  throw Error(fmt::format("entry {} is not a text", entry.number))
      .file(file)
      .expected("a string, or an object with a string \"text\"")
      .got(value.is_object() ? "an object without it" : value.type_name());
}

}  // namespace

void for_each_listed_text(const std::filesystem::path& file, int64_t limit,
                          const std::function<bool(std::string&& text)>& visit) {
  for_each_json_entry(file, limit,
                      [&](const JsonEntry& entry) { return visit(text_of_entry(entry, file)); });
}

std::vector<std::string> read_text_list(const std::filesystem::path& file, int64_t limit) {
  std::vector<std::string> texts;
  for_each_listed_text(file, limit, [&](std::string&& text) {
    texts.push_back(std::move(text));
    return true;
  });
  return texts;
}

}  // namespace nibble
