// SPDX-License-Identifier: Apache-2.0
//
// Which Linear modules a scheme leaves alone: the automatic list of transformers and the matching
// of names against a list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/nn/weight_loader.h"

namespace nibble {

// True when transformers would convert this Linear: no entry of `skip_modules` is its leaf name,
// its full path, the path of a module that holds it, or otherwise "entry." inside its path.
// Releases 4 and 5 of transformers agree on such names; regular expressions are not read.
bool convert_module(std::string_view path, const std::vector<std::string>& skip_modules);

// The list that transformers makes when the user gives none: all names of a tied group, the output
// embedding, and the module that owns the last parameter. `modules` in the order of asking.
std::vector<std::string> automatic_skip_modules(const std::vector<ModuleInfo>& modules);

}  // namespace nibble
