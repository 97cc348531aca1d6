// SPDX-License-Identifier: Apache-2.0
//
// Texts to evaluate on or to calibrate with, from a file of the user's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace nibble {

// Visits the first `limit` (0: all) texts of a list (io/json_list.h), each of them a string or an
// object with the string "text", or until `visit` says false. Throws Error with file and entry.
void for_each_listed_text(const std::filesystem::path& file, int64_t limit,
                          const std::function<bool(std::string&& text)>& visit);

// All of these texts.
std::vector<std::string> read_text_list(const std::filesystem::path& file, int64_t limit = 0);

}  // namespace nibble
