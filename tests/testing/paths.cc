// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/paths.h"

#include <cstdlib>

namespace nibble::paths {
namespace {

const std::filesystem::path kSources = NIBBLE_SOURCE_DIR;

}  // namespace

std::filesystem::path golden(std::string_view name) { return kSources / "tests" / "golden" / name; }

std::filesystem::path shared_data() {
  const char* set = std::getenv("NIBBLE_SHARED_DATA");
  return set ? std::filesystem::path(set) : kSources.parent_path() / "shared" / "data";
}

}  // namespace nibble::paths
