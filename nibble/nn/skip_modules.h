// SPDX-License-Identifier: Apache-2.0
//
// The names of a runnable model from which quant/skip_modules.h works out what stays unquantized.
#pragma once

#include <vector>

#include "nibble/nn/weight_loader.h"
#include "nibble/quant/skip_modules.h"

namespace nibble {

// `modules` in the order of asking, which is that of named_parameters(); the output embedding of a
// causal language model comes last, tied or not.
ModelNames names_of(const std::vector<ModuleInfo>& modules);

}  // namespace nibble
