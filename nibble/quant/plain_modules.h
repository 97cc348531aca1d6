// SPDX-License-Identifier: Apache-2.0
//
// How the config of a quantized model says that some modules have stayed plain: each method has its
// own words for it, full paths, names within a block or tags. Readers that are not told take every
// Linear of the model for a packed one.
#pragma once

#include <string>
#include <vector>

#include "nibble/quant/quantization_config.h"

namespace nibble {

// The config of a model in which the modules `plain` are plain and `packed` packed, both by path.
// Throws Error with the module where the method names all blocks at once and they differ.
QuantizationConfig leaving_plain(QuantizationConfig config, const std::vector<std::string>& plain,
                                 const std::vector<std::string>& packed);

}  // namespace nibble
