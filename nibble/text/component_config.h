// SPDX-License-Identifier: Apache-2.0
//
// A typed view of one component's object in tokenizer.json, e.g. {"type": "Split", ...}. Every
// getter checks what it reads; an error names the file, the kind of component and its type.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "nibble/base/error.h"

namespace nibble {

class ComponentConfig {
 public:
  // `kind` is what the component is ("normalizer"); `source` is the file shown in errors. Both and
  // `object` must outlive this. Throws Error when `object` is no object with a string "type".
  ComponentConfig(const nlohmann::json& object, const char* kind, const std::string& source);

  const std::string& type() const { return type_; }
  const std::string& source() const { return source_; }
  const char* kind() const { return kind_; }

  bool has(const char* key) const;                      // present and not null
  const nlohmann::json& member(const char* key) const;  // throws when absent
  const nlohmann::json& list(const char* key) const;    // an array; throws otherwise
  std::string text(const char* key) const;              // throws when absent
  std::string text_or(const char* key, std::string fallback) const;
  bool flag(const char* key) const;  // throws when absent
  bool flag_or(const char* key, bool fallback) const;
  int64_t count(const char* key) const;       // not negative, below 2^31
  char32_t character(const char* key) const;  // a string of one code point

  // "the normalizer 'X' ..." with the file, ready to be thrown.
  Error error(const std::string& problem) const;
  Error unsupported() const { return error("is not supported"); }

 private:
  const nlohmann::json& object_;
  const char* kind_;
  const std::string& source_;
  std::string type_;
};

// {"String": "..."} or {"Regex": "..."}.
struct TextPattern {
  bool is_regex;
  std::string text;
};
TextPattern read_pattern(const ComponentConfig& config);

}  // namespace nibble
