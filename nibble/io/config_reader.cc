// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/config_reader.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

std::optional<int64_t> as_integer(const Json& value, int64_t least, int64_t most) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  const auto number = value.get<int64_t>();
  return number >= least && number <= most ? std::optional(number) : std::nullopt;
}

}  // namespace

ConfigReader::ConfigReader(const Json& object, std::string file, std::string inside)
    : object_(object), file_(std::move(file)), inside_(std::move(inside)) {}

bool ConfigReader::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

bool ConfigReader::is_null(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

int64_t ConfigReader::integer(const char* key, int64_t least, int64_t most) const {
  const auto value = as_integer(at(key), least, most);
  if (!value) fail(key, fmt::format("an integer from {} to {}", least, most));
  return *value;
}

int64_t ConfigReader::integer(const char* key, int64_t least, int64_t most, int64_t absent) const {
  return has(key) ? integer(key, least, most) : absent;
}

double ConfigReader::required_number(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) fail(key, "a number");
  return value.get<double>();
}

double ConfigReader::number(const char* key, double absent) const {
  return has(key) ? required_number(key) : absent;
}

bool ConfigReader::boolean(const char* key, bool absent) const {
  if (!has(key)) return absent;
  if (!at(key).is_boolean()) fail(key, "true or false");
  return at(key).get<bool>();
}

std::string ConfigReader::string(const char* key, const std::string& absent) const {
  if (!has(key)) return absent;
  if (!at(key).is_string()) fail(key, "a string");
  return at(key).get<std::string>();
}

std::vector<std::string> ConfigReader::strings(const char* key) const {
  std::vector<std::string> list;
  if (!has(key)) return list;
  if (!at(key).is_array()) fail(key, "a list of strings");
  for (const Json& item : at(key)) {
    if (!item.is_string()) fail(key, "a list of strings");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::vector<int32_t> ConfigReader::token_ids(const char* key, std::vector<int32_t> absent) const {
  constexpr int64_t kMostIds = std::numeric_limits<int32_t>::max();
  if (object_.find(key) == object_.end()) return absent;
  if (!has(key)) return {};
  std::vector<int32_t> ids;
  const Json& value = at(key);
  for (const Json& item : value.is_array() ? value : Json::array({value})) {
    const auto id = as_integer(item, 0, kMostIds);
    if (!id) fail(key, "a token id or a list of them");
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

const Json* ConfigReader::object(const char* key) const {
  if (!has(key)) return nullptr;
  if (!at(key).is_object()) fail(key, "an object");
  return &at(key);
}

const Json& ConfigReader::at(const char* key) const {
  if (!has(key)) fail_missing(key);
  return *object_.find(key);
}

void ConfigReader::fail_missing(const char* key) const {
  throw Error(fmt::format("'{}' is missing", path(key))).file(file_);
}

void ConfigReader::fail(const char* key, std::string expected) const {
  const auto found = object_.find(key);
  Error error(fmt::format("bad value of '{}'", path(key)));
  error.file(file_).expected(std::move(expected));
  // ensure_ascii and replace: a hostile string cannot break the message.
  if (found != object_.end()) error.got(found->dump(-1, ' ', true, Json::error_handler_t::replace));
  throw error;
}

std::string ConfigReader::path(const char* key) const {
  return inside_.empty() ? key : inside_ + '.' + key;
}

}  // namespace nibble
