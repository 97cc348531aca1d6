// SPDX-License-Identifier: Apache-2.0
//
// Fixed numbers of the safetensors format, shared by its reader and its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nibble {

inline constexpr size_t kSafetensorsLengthBytes = 8;  // the length that opens a file
inline constexpr int64_t kMaxSafetensorsHeader = 100'000'000;
inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";

}  // namespace nibble
