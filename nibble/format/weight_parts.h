// SPDX-License-Identifier: Apache-2.0
//
// A Weight of any layout as named tensors and named values, and back: what a file has to hold so
// that the weight comes out of it as it is in memory, without a step of unpacking. Copies no bytes.
// Knows no files, and no packing of any other program.
#pragma once

#include <map>
#include <string>

#include "nibble/format/weight.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct WeightParts {
  std::map<std::string, Tensor> tensors;      // "codes", "scales", ...; undefined ones are left out
  std::map<std::string, std::string> values;  // "layout", "rows", "block_size", ...
};

WeightParts parts_of(const Weight& weight);

// Throws Error when something is missing or does not fit together; values that no weight has are
// passed over.
Weight weight_of(const WeightParts& parts);

}  // namespace nibble
