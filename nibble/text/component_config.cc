// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/component_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/utf8.h"

namespace nibble {

ComponentConfig::ComponentConfig(const nlohmann::json& object, const char* kind,
                                 const std::string& source)
    : object_(object), kind_(kind), source_(source) {
  const auto type = object.is_object() ? object.find("type") : object.end();
  if (!object.is_object() || type == object.end() || !type->is_string()) {
    throw Error(fmt::format("a {} is malformed", kind))
        .file(source)
        .expected("an object with a string \"type\"")
        .got(object.type_name());
  }
  type_ = type->get<std::string>();
}

bool ComponentConfig::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

const nlohmann::json& ComponentConfig::member(const char* key) const {
  const auto found = object_.find(key);
  if (found == object_.end()) throw error(fmt::format("lacks \"{}\"", key));
  return *found;
}

const nlohmann::json& ComponentConfig::list(const char* key) const {
  const nlohmann::json& value = member(key);
  if (!value.is_array()) throw error(fmt::format("has a \"{}\" that is no list", key));
  return value;
}

std::string ComponentConfig::text(const char* key) const {
  const nlohmann::json& value = member(key);
  if (!value.is_string()) throw error(fmt::format("has a \"{}\" that is no string", key));
  return value.get<std::string>();
}

std::string ComponentConfig::text_or(const char* key, std::string fallback) const {
  return has(key) ? text(key) : std::move(fallback);
}

bool ComponentConfig::flag(const char* key) const {
  const nlohmann::json& value = member(key);
  if (!value.is_boolean()) throw error(fmt::format("has a \"{}\" that is not true or false", key));
  return value.get<bool>();
}

bool ComponentConfig::flag_or(const char* key, bool fallback) const {
  return has(key) ? flag(key) : fallback;
}

int64_t ComponentConfig::count(const char* key) const {
  const nlohmann::json& value = member(key);
  const int64_t number = value.is_number_integer() ? value.get<int64_t>() : -1;
  if (number < 0 || number > INT32_MAX) {
    throw error(fmt::format("has a \"{}\" that is no count", key));
  }
  return number;
}

char32_t ComponentConfig::character(const char* key) const {
  const std::string value = text(key);
  size_t at = 0;
  const char32_t c = value.empty() ? 0 : next_code_point(value, at);
  if (value.empty() || at != value.size()) {
    throw error(fmt::format("has a \"{}\" that is not one character", key));
  }
  return c;
}

Error ComponentConfig::error(const std::string& problem) const {
  return Error(fmt::format("the {} '{}' {}", kind_, type_, problem)).file(source_);
}

TextPattern read_pattern(const ComponentConfig& config) {
  const nlohmann::json& pattern = config.member("pattern");
  if (pattern.is_object() && pattern.size() == 1 && pattern.begin()->is_string()) {
    if (pattern.contains("String")) return {false, pattern["String"].get<std::string>()};
    if (pattern.contains("Regex")) return {true, pattern["Regex"].get<std::string>()};
  }
  throw config.error("has a pattern that is neither {\"String\": ...} nor {\"Regex\": ...}");
}

}  // namespace nibble
