// SPDX-License-Identifier: Apache-2.0
//
// Texts to evaluate on or to calibrate with, from a file of the user's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace nibble {

// The first `limit` (0: all) texts of a list (io/json_list.h), each of them a string or an object
// with the string "text". Throws Error with file and entry.
std::vector<std::string> read_text_list(const std::filesystem::path& file, int64_t limit = 0);

}  // namespace nibble
