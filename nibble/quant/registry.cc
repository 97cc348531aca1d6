// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/registry.h"

#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/quant/bnb4.h"
#include "nibble/quant/llm_int8.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// As a condition in Python, for which even a string is true: what is no boolean then fails by its
// own name in BitsAndBytesConfig::from_json().
bool is_set(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && !at->is_null() && *at != Json(false);
}

}  // namespace

std::unique_ptr<Scheme> make_scheme(const Json& quantization_config, const std::string& file) {
  if (!quantization_config.is_object()) {
    throw Error("quantization_config is not an object").file(file).got(quantization_config.dump());
  }
  if (!is_set(quantization_config, "load_in_8bit") &&
      !is_set(quantization_config, "load_in_4bit")) {
    const auto method = quantization_config.find("quant_method");
    if (method == quantization_config.end()) {
      throw Error("quantization_config has no 'quant_method'").file(file);
    }
    if (*method != "bitsandbytes") {
      throw Error("quantization method cannot be read")
          .file(file)
          .expected("\"bitsandbytes\"")
          .got(method->dump());
    }
  }
  const auto config = BitsAndBytesConfig::from_json(quantization_config, file);
  try {
    return make_scheme(config);
  } catch (Error& error) {
    throw error.file(file);
  }
}

std::unique_ptr<Scheme> make_scheme(const BitsAndBytesConfig& config) {
  config.validate();
  if (config.load_in_8bit) return std::make_unique<LlmInt8Scheme>(config);
  if (config.load_in_4bit) return std::make_unique<Bnb4Scheme>(config);
  throw Error("neither load_in_8bit nor load_in_4bit is True").hint("set one of them");
}

}  // namespace nibble
