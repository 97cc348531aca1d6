// SPDX-License-Identifier: Apache-2.0
//
// Any quantization_config that nibble reads, dispatched by quant_method as transformers does, and
// where a model folder keeps it. Reading a config checks all of it, whether or not its method can
// be run.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nibble/quant/awq_config.h"
#include "nibble/quant/bitsandbytes_config.h"
#include "nibble/quant/compressed_tensors_config.h"
#include "nibble/quant/eetq_config.h"
#include "nibble/quant/fbgemm_fp8_config.h"
#include "nibble/quant/fp8_config.h"
#include "nibble/quant/gptq_config.h"
#include "nibble/quant/group_int8_config.h"
#include "nibble/quant/hqq_config.h"
#include "nibble/quant/quantization_facts.h"

namespace nibble {

using QuantizationConfig =
    std::variant<BitsAndBytesConfig, GptqConfig, AwqConfig, EetqConfig, HqqConfig, GroupInt8Config,
                 Fp8Config, CompressedTensorsConfig, FbgemmFp8Config>;

// load_in_8bit or load_in_4bit means bitsandbytes whatever quant_method says. Throws Error, with
// `file`, when there is no method, for one that is not known (naming those that are), and for what
// the config's from_json() refuses.
QuantizationConfig read_quantization_config(const nlohmann::ordered_json& object,
                                            const std::string& file);

// That of a model folder: `in_config`, the entry of config.json if it has one, else
// quantize_config.json of AutoGPTQ or quant_config.json of AutoAWQ, in which older files keep it.
std::optional<QuantizationConfig> find_quantization_config(const std::filesystem::path& folder,
                                                           const nlohmann::ordered_json& in_config);

// Whether the folder holds one, readable or not.
bool names_quantization(const std::filesystem::path& folder,
                        const nlohmann::ordered_json& in_config);

// The file that the above read: for errors. config.json if there is none.
std::filesystem::path quantization_file(const std::filesystem::path& folder,
                                        const nlohmann::ordered_json& in_config);

QuantizationFacts facts_of(const QuantizationConfig& config);
PackedSize packed_size(const QuantizationConfig& config, int64_t rows, int64_t cols);
nlohmann::ordered_json to_json(const QuantizationConfig& config);  // as transformers writes it

// Keys that were ignored, settings that do not go together: one line each, for the user.
const std::vector<std::string>& notes_of(const QuantizationConfig& config);

}  // namespace nibble
