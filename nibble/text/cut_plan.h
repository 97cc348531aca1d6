// SPDX-License-Identifier: Apache-2.0
//
// Recognizes the pre-tokenizers that do nothing but cut text (most of those in use), so that a
// WordScanner can do their work in one pass. What it cannot plan is left to make_pre_tokenizer.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "nibble/text/word_scanner.h"

namespace nibble {

struct CutPlan {
  std::unique_ptr<WordScanner> scanner;  // finds the words that the pre-tokenizer would leave
  bool byte_level = false;               // which are then written in the byte alphabet
};

// The plan for "pre_tokenizer" of tokenizer.json, which may be null: nullopt unless it is made of
// Split, Digits and Sequence, with a ByteLevel that adds no space as its last step or none. Throws
// Error, naming `source`, for malformed objects of these types.
std::optional<CutPlan> plan_cuts(const nlohmann::json& pre_tokenizer, const std::string& source);

}  // namespace nibble
