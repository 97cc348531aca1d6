// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/encoding_json.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using nlohmann::json;

// Reads members of one entry; `what_` is its name.
class Entry {
 public:
  Entry(const json& object, const char* what, const std::string& source)
      : object_(object), what_(what), source_(source) {
    if (!object.is_object()) throw error("is no object");
  }

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }

  const json& member(const char* key) const {
    if (!object_.contains(key)) throw error(fmt::format("lacks \"{}\"", key));
    return object_[key];
  }

  int64_t count(const char* key) const { return as_count(member(key), key); }

  int64_t as_count(const json& value, const char* key) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > INT32_MAX) {
      throw error(fmt::format("has a \"{}\" that is no count", key)).got(value.dump());
    }
    return value.get<int64_t>();
  }

  // The value that stands beside the string in `choices`.
  template <class T, size_t N>
  T choice(const char* key, const std::array<std::pair<std::string_view, T>, N>& choices) const {
    const json& value = member(key);
    std::string names;
    for (const auto& [name, result] : choices) {
      if (value.is_string() && value.get_ref<const std::string&>() == name) return result;
      names += fmt::format("{}\"{}\"", names.empty() ? "" : " or ", name);
    }
    throw error(fmt::format("has an unknown \"{}\"", key)).expected(names).got(value.dump());
  }

  Side side(const char* key) const {
    return choice(key, std::array<std::pair<std::string_view, Side>, 2>{
                           {{"Right", Side::kRight}, {"Left", Side::kLeft}}});
  }

  Error error(const std::string& problem) const {
    return Error(fmt::format("\"{}\" {}", what_, problem)).file(source_);
  }

 private:
  const json& object_;
  const char* what_;
  const std::string& source_;
};

}  // namespace

std::optional<Truncation> read_truncation(const json& object, const std::string& source) {
  if (object.is_null()) return std::nullopt;
  using Strategy = Truncation::Strategy;
  const Entry entry(object, "truncation", source);
  return Truncation{.max_length = entry.count("max_length"),
                    .stride = entry.count("stride"),
                    .strategy = entry.choice("strategy",
                                             std::array<std::pair<std::string_view, Strategy>, 3>{
                                                 {{"LongestFirst", Strategy::kLongestFirst},
                                                  {"OnlyFirst", Strategy::kOnlyFirst},
                                                  {"OnlySecond", Strategy::kOnlySecond}}}),
                    .direction = entry.has("direction") ? entry.side("direction") : Side::kRight};
}

std::optional<Padding> read_padding(const json& object, const std::string& source) {
  if (object.is_null()) return std::nullopt;
  const Entry entry(object, "padding", source);
  Padding out;
  const json& strategy = entry.member("strategy");
  if (strategy.is_object() && strategy.size() == 1 && strategy.contains("Fixed")) {
    out.length = entry.as_count(strategy["Fixed"], "Fixed");
  } else if (strategy != "BatchLongest") {
    throw entry.error("has an unknown \"strategy\"")
        .expected("\"BatchLongest\" or {\"Fixed\": LENGTH}")
        .got(strategy.dump());
  }
  if (entry.has("pad_to_multiple_of")) {
    out.pad_to_multiple_of = entry.count("pad_to_multiple_of");
  }
  out.pad_id = static_cast<int32_t>(entry.count("pad_id"));
  out.pad_type_id = static_cast<int32_t>(entry.count("pad_type_id"));
  const json& token = entry.member("pad_token");
  if (!token.is_string()) throw entry.error("has a \"pad_token\" that is no string");
  out.pad_token = token.get<std::string>();
  out.direction = entry.side("direction");
  return out;
}

}  // namespace nibble
