// SPDX-License-Identifier: Apache-2.0
//
// Which model the "model" object of tokenizer.json describes.
#pragma once

#include <simdjson.h>

#include <memory>
#include <string>

#include "nibble/text/model.h"

namespace nibble {

enum class ModelType { kBpe, kUnigram, kWordPiece, kWordLevel };

// By "type", or in files of old library versions by the members it has. Throws Error naming
// `source` for any other type.
ModelType find_model_type(simdjson::dom::object object, const std::string& source);

// Throws Error, naming `source`, for malformed objects. The parser may go afterwards.
std::unique_ptr<Model> read_model(simdjson::dom::object object, const std::string& source);

}  // namespace nibble
