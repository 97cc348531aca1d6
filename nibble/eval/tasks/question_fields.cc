// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/tasks/question_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// As errors show a value: texts of a data set may be long.
std::string shown(const Json& value) {
  constexpr size_t kLongest = 40;
  const std::string text = value.dump(-1, ' ', true);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

std::optional<int64_t> integer_of(const Json& value) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  int64_t number = 0;
  const char* last = text.data() + text.size();
  const auto [end, failure] = std::from_chars(text.data(), last, number);
  return failure == std::errc() && end == last ? std::optional(number) : std::nullopt;
}

}  // namespace

QuestionFields::QuestionFields(const Json& entry, std::filesystem::path where)
    : entry_(entry), where_(std::move(where)) {
  if (entry.is_object()) return;
  throw Error("not a question").file(where_).expected("a JSON object").got(shown(entry));
}

Error QuestionFields::error(const std::string& name, const std::string& what_failed) const {
  return Error(fmt::format("{} '{}{}'", what_failed, prefix_, name)).file(where_);
}

const Json& QuestionFields::at(const std::string& name) const {
  const auto found = entry_.find(name);
  if (found != entry_.end()) return *found;
  std::vector<std::string> names;
  for (const auto& [key, value] : entry_.items()) names.push_back(key);
  throw error(name, "the question has no field")
      .got(names.empty() ? "no fields" : fmt::format("{}", fmt::join(names, ", ")));
}

QuestionFields QuestionFields::object(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_object()) throw error(name).expected("a JSON object").got(shown(value));
  QuestionFields inner(value, where_);
  inner.prefix_ = prefix_ + name + ".";
  return inner;
}

std::string QuestionFields::text(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_string()) throw error(name).expected("a text").got(shown(value));
  return value.get<std::string>();
}

std::vector<std::string> QuestionFields::texts(const std::string& name) const {
  const Json& value = at(name);
  const auto is_text = [](const Json& element) { return element.is_string(); };
  if (!value.is_array() || value.empty() || !std::ranges::all_of(value, is_text)) {
    throw error(name).expected("a list of texts").got(shown(value));
  }
  return value.get<std::vector<std::string>>();
}

std::vector<bool> QuestionFields::flags(const std::string& name, size_t count) const {
  const Json& value = at(name);
  const auto is_flag = [](const Json& element) { return element == 0 || element == 1; };
  if (!value.is_array() || value.size() != count || !std::ranges::all_of(value, is_flag)) {
    throw error(name)
        .expected(fmt::format("a list of {} numbers, 0 or 1", count))
        .got(shown(value));
  }
  std::vector<bool> flags;
  for (const Json& element : value) flags.push_back(element == 1);
  return flags;
}

size_t QuestionFields::answer(const std::string& name, int64_t first, size_t count) const {
  const Json& value = at(name);
  const int64_t last = first + static_cast<int64_t>(count) - 1;
  const std::optional<int64_t> number = integer_of(value);
  if (!number || *number < first || *number > last) {
    throw error(name).expected(fmt::format("{} to {}", first, last)).got(shown(value));
  }
  return static_cast<size_t>(*number - first);
}

size_t QuestionFields::answer(const std::string& name, std::span<const std::string> labels) const {
  const std::string label = text(name);
  const auto found = std::ranges::find(labels, label);
  if (found == labels.end()) {
    throw error(name).expected(fmt::format("one of {}", fmt::join(labels, ", "))).got(label);
  }
  return static_cast<size_t>(found - labels.begin());
}

}  // namespace nibble
