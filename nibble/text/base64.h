// SPDX-License-Identifier: Apache-2.0
//
// Bytes as text (RFC 4648, section 4: standard alphabet, with padding).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nibble {

std::string encode_base64(std::string_view bytes);
std::optional<std::string> decode_base64(std::string_view text);  // nullopt when malformed

}  // namespace nibble
