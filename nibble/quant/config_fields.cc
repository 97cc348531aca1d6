// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/config_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// A hostile string must not break the message.
std::string shown(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

bool is_integer(const Json& value) {
  if (!value.is_number_integer()) return false;
  return !value.is_number_unsigned() ||
         value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

bool is_string(const Json& value) { return value.is_string(); }

bool is_strings(const Json& value) {
  return value.is_array() && std::ranges::all_of(value, is_string);
}

bool is_lists_of_strings(const Json& value) {
  return value.is_array() && std::ranges::all_of(value, is_strings);
}

}  // namespace

ConfigFields::ConfigFields(const Json& object, std::string file)
    : ConfigFields(object, std::move(file), "") {}

ConfigFields::ConfigFields(const Json& object, std::string file, std::string path)
    : object_(object), file_(std::move(file)), path_(std::move(path)) {
  if (!object.is_object()) {
    const std::string name = path_.empty() ? "quantization_config"
                                           : fmt::format("'{}' of quantization_config",
                                                         path_.substr(0, path_.size() - 1));
    throw Error(name + " is not an object").file(file_).got(shown(object));
  }
}

ConfigFields ConfigFields::inside(const char* key) const {
  return ConfigFields(object_.at(key), file_, path_ + key + '.');
}

bool ConfigFields::has(const char* key) const {
  const auto at = object_.find(key);
  return at != object_.end() && !at->is_null();
}

const Json* ConfigFields::value(const char* key) {
  known_.emplace(key);
  const auto at = object_.find(key);
  return at == object_.end() ? nullptr : &*at;
}

template <typename T, typename Is>
void ConfigFields::read_as(const char* key, const char* expected, Is is, T& field) {
  const Json* found = value(key);
  if (found == nullptr) return;
  if (!is(*found)) throw bad(key, expected);
  field = found->get<T>();
}

void ConfigFields::read(const char* key, bool& field) {
  read_as(key, "a boolean", [](const Json& v) { return v.is_boolean(); }, field);
}

void ConfigFields::read(const char* key, int64_t& field) {
  read_as(key, "an integer", is_integer, field);
}

void ConfigFields::read(const char* key, double& field) {
  read_as(key, "a number", [](const Json& v) { return v.is_number(); }, field);
}

void ConfigFields::read(const char* key, std::string& field) {
  read_as(key, "a string", is_string, field);
}

void ConfigFields::read(const char* key, std::optional<int64_t>& field) {
  int64_t number = 0;
  const Json* found = value(key);
  if (found == nullptr || found->is_null()) return;
  read_as(key, "an integer or null", is_integer, number);
  field = number;
}

void ConfigFields::read(const char* key, std::optional<std::string>& field) {
  const Json* found = value(key);
  if (found == nullptr || found->is_null()) return;
  read_as(key, "a string or null", is_string, field.emplace());
}

void ConfigFields::read(const char* key, std::optional<std::vector<std::string>>& field) {
  const Json* found = value(key);
  if (found == nullptr || found->is_null()) return;
  read_as(key, "a list of strings or null", is_strings, field.emplace());
}

void ConfigFields::read(const char* key,
                        std::optional<std::vector<std::vector<std::string>>>& field) {
  const Json* found = value(key);
  if (found == nullptr || found->is_null()) return;
  read_as(key, "a list of lists of strings or null", is_lists_of_strings, field.emplace());
}

void ConfigFields::read_float(const char* key, float& field) {
  double number = field;
  read_as(key, "a float", [](const Json& v) { return v.is_number_float(); }, number);
  field = static_cast<float>(number);
}

void ConfigFields::read_dtype(const char* key, const char* expected, bool (*accepts)(DType),
                              DType& field) {
  const Json* found = value(key);
  if (found == nullptr || found->is_null()) return;
  if (!found->is_string()) throw bad(key, expected);
  const auto dtype = dtype_from_torch(found->get<std::string>());
  if (!dtype || !accepts(*dtype)) throw bad(key, expected);
  field = *dtype;
}

void ConfigFields::ignore(std::initializer_list<const char*> keys) {
  known_.insert(keys.begin(), keys.end());
}

std::vector<std::string> ConfigFields::unknown() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_.items()) {
    if (!known_.contains(key)) keys.push_back(path_ + key);
  }
  return keys;
}

Error ConfigFields::bad(const char* key, std::string expected) const {
  Error error(fmt::format("quantization_config has a bad '{}{}'", path_, key));
  error.file(file_).expected(std::move(expected));
  const auto at = object_.find(key);
  return error.got(at == object_.end() ? "nothing" : shown(*at));
}

}  // namespace nibble
