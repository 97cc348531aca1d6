// SPDX-License-Identifier: Apache-2.0
//
// Where files belong that programs keep for themselves and can make again.
#pragma once

#include <filesystem>

namespace nibble {

// $XDG_CACHE_HOME/nibble, or else ~/.cache/nibble (the XDG base directory specification, which has
// a relative $XDG_CACHE_HOME ignored). Throws Error when neither is known. Creates nothing.
std::filesystem::path user_cache_folder();

}  // namespace nibble
