// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/registry.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/bnb4.h"
#include "nibble/quant/eetq.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/llm_int8.h"

namespace nibble {

using Json = nlohmann::ordered_json;

std::unique_ptr<Scheme> make_scheme(const QuantizationConfig& config, const std::string& source) {
  try {
    if (const auto* bnb = std::get_if<BitsAndBytesConfig>(&config)) return make_scheme(*bnb);
    if (const auto* gptq = std::get_if<GptqConfig>(&config)) {
      return std::make_unique<GptqScheme>(*gptq);
    }
    if (const auto* awq = std::get_if<AwqConfig>(&config)) return std::make_unique<AwqScheme>(*awq);
    if (const auto* eetq = std::get_if<EetqConfig>(&config)) {
      return std::make_unique<EetqScheme>(*eetq);
    }
  } catch (Error& error) {
    throw error.file(source);
  }
  const QuantizationFacts facts = facts_of(config);
  throw Error("models quantized with this method cannot be loaded yet")
      .file(source)
      .expected("a plain model or one of bitsandbytes")
      .got(fmt::format("{}, {} bits", facts.method, facts.bits))
      .hint("`nibble inspect` shows what the model is made of");
}

std::unique_ptr<Scheme> make_scheme(const Json& quantization_config, const std::string& file) {
  return make_scheme(read_quantization_config(quantization_config, file), file);
}

std::unique_ptr<Scheme> make_scheme(const BitsAndBytesConfig& config) {
  config.validate();
  if (config.load_in_8bit) return std::make_unique<LlmInt8Scheme>(config);
  if (config.load_in_4bit) return std::make_unique<Bnb4Scheme>(config);
  throw Error("neither load_in_8bit nor load_in_4bit is True").hint("set one of them");
}

}  // namespace nibble
