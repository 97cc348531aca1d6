// SPDX-License-Identifier: Apache-2.0
//
// Reads the fields of one quantization_config into a config's members, their types checked. An
// absent key leaves the member's default; a null does so only where the member is optional. What no
// one asked for is reported by unknown(). Errors name the file, the key, what was expected and got.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

class ConfigFields {
 public:
  // `object` outlives the reader. Throws Error when it is not a JSON object.
  ConfigFields(const nlohmann::ordered_json& object, std::string file);

  // The same object under another key's name in errors: "quant_config.weight_quant_params".
  ConfigFields inside(const char* key) const;

  bool has(const char* key) const;  // present and not null

  void read(const char* key, bool& field);
  void read(const char* key, int64_t& field);
  void read(const char* key, double& field);  // integers, too
  void read(const char* key, std::string& field);
  void read(const char* key, std::optional<int64_t>& field);
  void read(const char* key, std::optional<std::string>& field);
  void read(const char* key, std::optional<std::vector<std::string>>& field);
  void read(const char* key, std::optional<std::vector<std::vector<std::string>>>& field);

  // A float only: 6 is refused where 6.0 is meant, as transformers does.
  void read_float(const char* key, float& field);

  // The name of a dtype that `accepts`; null leaves the default.
  void read_dtype(const char* key, const char* expected, bool (*accepts)(DType), DType& field);

  // Any JSON, checked by the caller; null when absent.
  const nlohmann::ordered_json* value(const char* key);

  // Keys that are known and have no effect here.
  void ignore(std::initializer_list<const char*> keys);

  // Keys of the object that nothing above named, in the order of the file.
  std::vector<std::string> unknown() const;

  // "quantization_config has a bad 'KEY'", with the file and what came.
  Error bad(const char* key, std::string expected) const;
  const std::string& file() const { return file_; }

 private:
  ConfigFields(const nlohmann::ordered_json& object, std::string file, std::string path);
  template <typename T, typename Is>
  void read_as(const char* key, const char* expected, Is is, T& field);

  const nlohmann::ordered_json& object_;
  std::string file_;
  std::string path_;  // of the object, with a dot at its end; "" for the whole config
  std::set<std::string, std::less<>> known_;
};

}  // namespace nibble
