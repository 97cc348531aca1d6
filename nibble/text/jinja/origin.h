// SPDX-License-Identifier: Apache-2.0
//
// Whose words a piece of a rendered template is.
#pragma once

#include <cstdint>

namespace nibble {

// From the most to the least trusted.
enum class TextOrigin : uint8_t {
  kTemplate,  // the template's own, and what the application passes as special tokens
  kModel,     // content and reasoning of the assistant: mostly what the model wrote before
  kUser,      // all else in messages, tools, documents and variables
};

}  // namespace nibble
