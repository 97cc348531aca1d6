// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/model_fields.h"

#include <fmt/format.h>

namespace nibble {

namespace dom = simdjson::dom;

std::optional<dom::element> ModelFields::find(const char* key) const {
  dom::element value;
  if (object_.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

std::optional<bool> ModelFields::flag(const char* key) const {
  auto value = find(key);
  if (!value.has_value()) return std::nullopt;
  bool flag = false;
  if (value->get(flag) != simdjson::SUCCESS) {
    throw error(fmt::format("has a \"{}\" that is not true or false", key));
  }
  return flag;
}

std::optional<std::string> ModelFields::text(const char* key) const {
  auto value = find(key);
  if (!value.has_value()) return std::nullopt;
  std::string_view text;
  if (value->get(text) != simdjson::SUCCESS) {
    throw error(fmt::format("has a \"{}\" that is no string", key));
  }
  return std::string(text);
}

std::optional<int64_t> ModelFields::count(const char* key) const {
  auto value = find(key);
  if (!value.has_value()) return std::nullopt;
  int64_t number = -1;
  if (value->get(number) != simdjson::SUCCESS || number < 0) {
    throw error(fmt::format("has a \"{}\" that is no count", key));
  }
  return number;
}

std::string ModelFields::required_text(const char* key) const {
  auto value = text(key);
  if (!value.has_value()) throw error(fmt::format("lacks its \"{}\"", key));
  return *std::move(value);
}

Vocabulary ModelFields::vocabulary() const {
  dom::object tokens;
  if (object_.at_key("vocab").get(tokens) != simdjson::SUCCESS) throw error("lacks its \"vocab\"");
  int64_t bytes = 0;
  for (auto [token, id] : tokens) bytes += static_cast<int64_t>(token.size());
  Vocabulary vocabulary;
  vocabulary.reserve(static_cast<int64_t>(tokens.size()), bytes);
  for (auto [token, element] : tokens) {
    int64_t id = -1;
    if (element.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
      throw error(fmt::format("gives the token '{}' an id that is none", token))
          .expected(fmt::format("0 to {}", kMaxTokenId));
    }
    vocabulary.add(token, static_cast<int32_t>(id));
  }
  return vocabulary;
}

Error ModelFields::error(const std::string& problem) const {
  return Error(fmt::format("the {} model {}", kind_, problem)).file(source_);
}

}  // namespace nibble
