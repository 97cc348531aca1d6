// SPDX-License-Identifier: Apache-2.0
//
// The byte alphabet of GPT-2: each of the 256 bytes is written as one printable character, so that
// a vocabulary of text can hold any byte sequence. Printable Latin-1 stands for itself, the other
// bytes are numbered upwards from U+0100 (a space becomes U+0120).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

// The code point that stands for `byte`; below U+0144.
char32_t byte_to_char(uint8_t byte);

// Appends the characters that stand for the bytes of `text`.
void append_byte_level(std::string& out, std::string_view text);

// Appends the bytes that `token` stands for; a token with any character outside the alphabet is
// appended as it is. `token` must be valid UTF-8.
void append_byte_level_decoded(std::string& out, std::string_view token);

}  // namespace nibble
