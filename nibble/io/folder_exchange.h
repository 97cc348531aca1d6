// SPDX-License-Identifier: Apache-2.0
//
// One step from an old folder to a new one: whoever looks, or comes back after a power cut or a
// kill, sees either the one or the other.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace nibble {

// Gives `destination` the files of `built`, and `built` those that `destination` had. What stands
// in `destination` under a name that `built` lacks stays there (as hard links, made beforehand),
// unless is_stale(name). Both are folders of one file system, and neither is inside the other.
//
// False where this cannot be done, and `destination` is as it was: on file systems without hard
// links or exchange, for a folder with an owner or attributes that a new one would not have, for
// one that somebody works in, and when a folder stands under the name of a new file.
bool exchange_folders(const std::filesystem::path& built, const std::filesystem::path& destination,
                      const std::function<bool(std::string_view)>& is_stale);

}  // namespace nibble
