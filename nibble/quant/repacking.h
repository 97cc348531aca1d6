// SPDX-License-Identifier: Apache-2.0
//
// The packings that hold the layout AffineGroup, by the names that users give them, and the config
// of a model that goes from one to another. Whether each weight fits is save()'s to say.
#pragma once

#include <string>
#include <vector>

#include "nibble/quant/quantization_config.h"

namespace nibble {

std::vector<std::string> packing_names();  // "gptq", "awq-gemm", ...

// Throws Error, with `file`, for a packing that does not exist and for a config whose method has
// another layout.
QuantizationConfig repacked_config(const QuantizationConfig& from, const std::string& packing,
                                   const std::string& file);

}  // namespace nibble
