// SPDX-License-Identifier: Apache-2.0
//
// Reads the "model" object of tokenizer.json when it is a BPE model.
#pragma once

#include <simdjson.h>

#include <memory>
#include <string>

#include "nibble/text/bpe.h"

namespace nibble {

// Merges may be spelled "a b" or ["a", "b"]. Throws Error naming `source` for dropout above 0, ids
// that are none, and merges of or into tokens that the vocabulary lacks.
std::unique_ptr<BpeModel> read_bpe_model(simdjson::dom::object object, const std::string& source);

}  // namespace nibble
