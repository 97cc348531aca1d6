// SPDX-License-Identifier: Apache-2.0
//
// Few mutations of a .safetensors file keep the length that opens it right. So an input that begins
// with '{' stands for a file without that length: its header ends where the braces first balance,
// and the spaces behind that fill it up to a multiple of 8 bytes.
#pragma once

#include <string>

#include "tests/fuzz/fuzzing.h"

namespace nibble::fuzz {

inline std::string safetensors_bytes(Input input) {
  const std::string_view text = text_of(input);
  if (!text.starts_with('{')) return std::string(text);
  uint64_t length = 0;
  for (int depth = 0; length < text.size() && (length == 0 || depth > 0); ++length) {
    depth += text[length] == '{' ? 1 : text[length] == '}' ? -1 : 0;
  }
  while (length % 8 != 0 && length < text.size() && text[length] == ' ') ++length;
  std::string bytes(sizeof length, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(length >> (8 * i));
  return bytes.append(text);
}

}  // namespace nibble::fuzz
