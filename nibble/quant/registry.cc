// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/registry.h"

#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/bnb4.h"
#include "nibble/quant/eetq.h"
#include "nibble/quant/fp8.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/group_int8.h"
#include "nibble/quant/hqq.h"
#include "nibble/quant/llm_int8.h"
#include "nibble/quant/scaled_fp8.h"

namespace nibble {

using Json = nlohmann::ordered_json;

namespace {

std::unique_ptr<Scheme> scheme_for(const BitsAndBytesConfig& config) { return make_scheme(config); }
std::unique_ptr<Scheme> scheme_for(const GptqConfig& config) {
  return std::make_unique<GptqScheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const AwqConfig& config) {
  return std::make_unique<AwqScheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const EetqConfig& config) {
  return std::make_unique<EetqScheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const GroupInt8Config& config) {
  return std::make_unique<GroupInt8Scheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const Fp8Config& config) {
  return std::make_unique<Fp8Scheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const CompressedTensorsConfig& config) {
  return std::make_unique<ScaledFp8Scheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const FbgemmFp8Config& config) {
  return std::make_unique<ScaledFp8Scheme>(config);
}
std::unique_ptr<Scheme> scheme_for(const HqqConfig& config) {
  return std::make_unique<HqqScheme>(config);
}

}  // namespace

std::unique_ptr<Scheme> make_scheme(const QuantizationConfig& config, const std::string& source) {
  try {
    return std::visit([](const auto& known) { return scheme_for(known); }, config);
  } catch (Error& error) {
    throw error.file(source);
  }
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
