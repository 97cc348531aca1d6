// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/cache_folder.h"

#include <cstdlib>

#include "nibble/base/error.h"

namespace nibble {
namespace {

std::filesystem::path absolute_path_in(const char* variable) {
  const char* value = std::getenv(variable);
  const std::filesystem::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : std::filesystem::path();
}

}  // namespace

std::filesystem::path user_cache_folder() {
  const std::filesystem::path cache = absolute_path_in("XDG_CACHE_HOME");
  if (!cache.empty()) return cache / "nibble";
  const std::filesystem::path home = absolute_path_in("HOME");
  if (!home.empty()) return home / ".cache" / "nibble";
  throw Error("there is no folder for caches")
      .expected("an absolute path in XDG_CACHE_HOME or HOME")
      .hint("name a folder");
}

}  // namespace nibble
