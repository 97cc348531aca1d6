// SPDX-License-Identifier: Apache-2.0
//
// From a quantization_config to a Scheme: one line per quant_method.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "nibble/quant/bitsandbytes_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

// Dispatches as transformers does: load_in_8bit or load_in_4bit means bitsandbytes whatever
// quant_method says. Throws Error for an unknown method (naming those that are read) and for bad
// fields. `file` is named in errors.
std::unique_ptr<Scheme> make_scheme(const nlohmann::ordered_json& quantization_config,
                                    const std::string& file);

std::unique_ptr<Scheme> make_scheme(const BitsAndBytesConfig& config);

}  // namespace nibble
