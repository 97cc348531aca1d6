// SPDX-License-Identifier: Apache-2.0
//
// Why a sequence ended.
#pragma once

#include <string_view>

namespace nibble {

enum class FinishReason {
  kEndOfSequence,  // an eos_token_id came; it is the last id
  kStopString,     // a stop string is complete
  kLength,         // max_new_tokens or max_length
  kContextFull,    // the model has no position left (max_position_embeddings)
};

// "eos", "stop", "length", "context"
constexpr std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfSequence:
      return "eos";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContextFull:
      return "context";
  }
  return "";
}

}  // namespace nibble
