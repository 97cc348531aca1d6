// SPDX-License-Identifier: Apache-2.0
//
// Reads single keys of a config.json with their types and ranges checked. An absent key and a null
// give the default; everything else that is not what was asked for throws Error with file and key.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

class ConfigReader {
 public:
  // `object` is a JSON object and outlives the reader. `inside` is the key it stands under, for
  // error messages; empty for the whole file.
  ConfigReader(const nlohmann::ordered_json& object, std::string file, std::string inside = "");

  bool has(const char* key) const;      // present and not null
  bool is_null(const char* key) const;  // present and null

  // An integer in [least, most].
  int64_t integer(const char* key, int64_t least, int64_t most) const;  // required
  int64_t integer(const char* key, int64_t least, int64_t most, int64_t absent) const;
  double number(const char* key, double absent) const;
  double required_number(const char* key) const;
  bool boolean(const char* key, bool absent) const;
  std::string string(const char* key, const std::string& absent) const;
  std::vector<std::string> strings(const char* key) const;
  // An integer or a list of integers.
  std::vector<int32_t> token_ids(const char* key, std::vector<int32_t> absent) const;
  // An object under `key`, or null when there is none.
  const nlohmann::ordered_json* object(const char* key) const;

  [[noreturn]] void fail_missing(const char* key) const;
  [[noreturn]] void fail(const char* key, std::string expected) const;
  const std::string& file() const { return file_; }

 private:
  const nlohmann::ordered_json& at(const char* key) const;  // required
  std::string path(const char* key) const;

  const nlohmann::ordered_json& object_;
  std::string file_, inside_;
};

}  // namespace nibble
