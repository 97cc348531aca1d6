// SPDX-License-Identifier: Apache-2.0
//
// Where tests find their files: golden files of this repository, and the larger data that may lie
// beside a checkout. The only test code that knows where the sources are.
#pragma once

#include <filesystem>
#include <string_view>

namespace nibble::paths {

// tests/golden/`name`.
std::filesystem::path golden(std::string_view name);

// The folder of data that is no part of the repository: $NIBBLE_SHARED_DATA, else shared/data
// beside the checkout. Tests that need it skip where it does not exist.
std::filesystem::path shared_data();

}  // namespace nibble::paths
