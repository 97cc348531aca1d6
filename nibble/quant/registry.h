// SPDX-License-Identifier: Apache-2.0
//
// From a quantization config to a Scheme.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "nibble/quant/quantization_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

// For a config whose method can be run; Error for the others. `source`, a file or a folder, is
// named in errors.
std::unique_ptr<Scheme> make_scheme(const QuantizationConfig& config, const std::string& source);

// The same for the object in a file (see read_quantization_config()).
std::unique_ptr<Scheme> make_scheme(const nlohmann::ordered_json& quantization_config,
                                    const std::string& file);

std::unique_ptr<Scheme> make_scheme(const BitsAndBytesConfig& config);

}  // namespace nibble
