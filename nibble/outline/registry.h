// SPDX-License-Identifier: Apache-2.0
//
// From a model_type to the function that describes its family: an explicit list, one line each.
#pragma once

#include <string>

#include "nibble/outline/family_config.h"

namespace nibble {

using OutlineFamily = void (*)(const OutlineBuilder& root, const FamilyConfig& config);

// Throws Error, with `file`, for a type that is not in the list, naming those that are.
OutlineFamily family_of(const std::string& model_type, const std::string& file);

}  // namespace nibble
