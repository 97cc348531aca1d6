// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/folder_exchange.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <system_error>

#include "nibble/io/file_handle.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

// A shell in the destination would be left in a folder that is gone.
bool contains_working_folder(const fs::path& folder) {
  std::error_code failure;
  fs::path at = fs::current_path(failure);
  for (; !failure && at.has_relative_path(); at = at.parent_path()) {
    if (fs::equivalent(at, folder, failure)) return true;
  }
  return static_cast<bool>(failure);
}

// Makes `built` look like `destination` from outside.
bool take_over_attributes(const fs::path& built, const fs::path& destination) {
  struct stat old_status{}, new_status{};
  if (::stat(destination.c_str(), &old_status) != 0 || ::stat(built.c_str(), &new_status) != 0) {
    return false;
  }
  constexpr mode_t kPermissions = 07777;
  // An access control list shows as one more extended attribute.
  return old_status.st_uid == new_status.st_uid && old_status.st_gid == new_status.st_gid &&
         ::listxattr(destination.c_str(), nullptr, 0) == ::listxattr(built.c_str(), nullptr, 0) &&
         ::chmod(built.c_str(), old_status.st_mode & kPermissions) == 0;
}

// Hard links in `to` for all that `from` has, folder by folder. Throws fs::filesystem_error.
void link_tree(const fs::path& from, const fs::path& to) {
  fs::create_directory(to, from);
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path target = to / entry.path().filename();
    if (fs::is_directory(entry.symlink_status())) {
      link_tree(entry.path(), target);
    } else {
      fs::create_hard_link(entry.path(), target);
    }
  }
}

// False when a folder stands under the name of a new file.
bool link_what_stays(const fs::path& built, const fs::path& destination,
                     const std::function<bool(std::string_view)>& is_stale) {
  for (const auto& entry : fs::directory_iterator(destination)) {
    const fs::path name = entry.path().filename();
    const bool is_folder = fs::is_directory(entry.symlink_status());
    if (fs::exists(fs::symlink_status(built / name))) {
      if (is_folder) return false;
    } else if (is_folder) {
      link_tree(entry.path(), built / name);
    } else if (!is_stale(name.string())) {
      fs::create_hard_link(entry.path(), built / name);
    }
  }
  return true;
}

// Files that somebody put into the old folder since its files were linked.
void bring_late_files(const fs::path& old_folder, const fs::path& destination,
                      const std::function<bool(std::string_view)>& is_stale) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(old_folder, ignored)) {
    const fs::path name = entry.path().filename();
    if (fs::exists(fs::symlink_status(destination / name)) || is_stale(name.string())) continue;
    fs::rename(entry.path(), destination / name, ignored);
  }
}

}  // namespace

bool exchange_folders(const fs::path& built, const fs::path& destination,
                      const std::function<bool(std::string_view)>& is_stale) {
  if (contains_working_folder(destination)) return false;
  try {
    if (!link_what_stays(built, destination, is_stale)) return false;
  } catch (const fs::filesystem_error&) {
    return false;
  }
  if (!take_over_attributes(built, destination)) return false;
  flush_folder(built);
  if (::renameat2(AT_FDCWD, built.c_str(), AT_FDCWD, destination.c_str(), RENAME_EXCHANGE) != 0) {
    return false;
  }
  bring_late_files(built, destination, is_stale);
  return true;
}

}  // namespace nibble
