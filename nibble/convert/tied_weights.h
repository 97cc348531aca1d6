// SPDX-License-Identifier: Apache-2.0
//
// Weights that a model shares and a file nevertheless holds twice. transformers writes such a
// weight once and ties the other names to it again on loading; so do the conversions of this
// folder.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "nibble/io/checkpoint.h"

namespace nibble {

// The names to leave out, each with the name that stands for it. Where outline/ describes the
// model, these are its tied weights, if they have the same dtype, shape and bytes: one that differs
// was trained apart, and stays. Of other elements that a pickle names twice, all names but the
// first, unless `config` says "tie_word_embeddings": false. `config` may be null.
std::map<std::string, std::string> repeated_weights(const Checkpoint& checkpoint,
                                                    const nlohmann::ordered_json& config);

}  // namespace nibble
