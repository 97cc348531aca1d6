// SPDX-License-Identifier: Apache-2.0
//
// Objects of tokenizer.json that the tokenizer classes put together, spelled as the file has them.
#pragma once

#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/text/tokenizer_config.h"

namespace nibble::sections {

using nlohmann::json;

// How Qwen2 and its successors split text.
inline constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

inline json sequence(const char* key, json steps) {
  return {{"type", "Sequence"}, {key, std::move(steps)}};
}

inline json replace(const char* kind, const char* pattern, const char* content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

inline json split(const char* kind, const char* pattern, const char* behavior, bool invert) {
  return {{"type", "Split"},
          {"pattern", {{kind, pattern}}},
          {"behavior", behavior},
          {"invert", invert}};
}

inline json named(const char* type) { return {{"type", type}}; }

// A flag of tokenizer_config.json.
inline bool option(const TokenizerConfig& config, const char* key, bool fallback) {
  const auto found = config.options.find(key);
  return found != config.options.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

}  // namespace nibble::sections
