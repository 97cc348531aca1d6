// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/text_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/json_file.h"
#include "nibble/io/json_list.h"
#include "nibble/io/text_source.h"

namespace nibble {
namespace {

constexpr int64_t kMostDecompressed = int64_t{4} << 30;

std::string text_of_entry(const nlohmann::ordered_json& value, int64_t number,
                          const std::filesystem::path& file) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    const auto it = value.find("text");
    if (it != value.end() && it->is_string()) return it->get<std::string>();
  }
  throw Error(fmt::format("entry {} is not a text", number))
      .file(file)
      .expected("a string, or an object with a string \"text\"")
      .got(value.is_object() ? "an object without it" : value.type_name());
}

}  // namespace

void for_each_listed_text(const std::filesystem::path& file, int64_t limit,
                          const std::function<bool(std::string&& text)>& visit) {
  for_each_json_entry(file, limit, [&](const JsonEntry& entry) {
    return visit(text_of_entry(entry.value, entry.number, file));
  });
}

std::vector<std::string> read_text_list(const std::filesystem::path& file, int64_t limit) {
  std::vector<std::string> texts;
  for_each_listed_text(file, limit, [&](std::string&& text) {
    texts.push_back(std::move(text));
    return true;
  });
  return texts;
}

TextList::TextList(std::filesystem::path file) : file_(std::move(file)) {
  if (!is_json_list(file_)) {
    throw Error("not a list of texts").file(file_).expected(".jsonl or .json, plain or .zst");
  }
  if (without_compression(file_).extension() == ".json") {
    texts_ = read_text_list(file_);
    return;
  }
  std::string_view rest;
  if (without_compression(file_) == file_) {
    mapped_ = MappedFile::open(file_);
    rest = {reinterpret_cast<const char*>(mapped_->bytes().data()), mapped_->bytes().size()};
  } else {
    rest = content_ = read_text(file_, kMostDecompressed);
  }
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!is_blank_line(line)) lines_.push_back({line, number});
  }
}

std::string TextList::text(int64_t index) const {
  const auto at = static_cast<size_t>(index);
  if (lines_.empty()) return texts_.at(at);
  const Line& line = lines_.at(at);
  const std::filesystem::path where = fmt::format("{}:{}", file_.string(), line.number);
  return text_of_entry(parse_json(line.json, where), line.number, file_);
}

}  // namespace nibble
