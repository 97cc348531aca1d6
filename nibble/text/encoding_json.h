// SPDX-License-Identifier: Apache-2.0
//
// The "truncation" and "padding" entries of tokenizer.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "nibble/text/encoding.h"

namespace nibble {

// nullopt for null. Throw Error, naming `source`, for anything malformed.
std::optional<Truncation> read_truncation(const nlohmann::json& object, const std::string& source);
std::optional<Padding> read_padding(const nlohmann::json& object, const std::string& source);

}  // namespace nibble
