// SPDX-License-Identifier: Apache-2.0
//
// A folder that is built out of sight and put in place at the end, or never. It stands beside the
// destination (inside it where the destination is a mount point, since files cannot be renamed
// across file systems), hidden as .DESTINATION.*.tmp, and is locked while its process lives: what a
// dead process left can be told from what is being built, and taken over.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/io/file_handle.h"

namespace nibble {

class StagedFolder {
 public:
  // Creates missing parents of `destination`, and an empty folder to build in.
  explicit StagedFolder(const std::filesystem::path& destination);
  // Takes over one of abandoned(destination).
  StagedFolder(const std::filesystem::path& destination, const std::filesystem::path& abandoned);
  // Removes what commit() has not put in place, created parents included, unless keep() was called.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  // Folders that processes which are no more left beside `destination`.
  static std::vector<std::filesystem::path> abandoned(const std::filesystem::path& destination);
  // Throws Error, before it removes any, when one holds files of the destination that are found
  // nowhere else: its process died amid commit().
  static void remove_abandoned(const std::filesystem::path& destination);
  // Removes one of them, unless it holds such files.
  static void discard(const std::filesystem::path& abandoned);

  const std::filesystem::path& path() const { return built_; }  // build here: plain files only
  // Beside them, for a file that is never put in place.
  std::filesystem::path journal_path() const { return journal_path(staging_); }
  static std::filesystem::path journal_path(const std::filesystem::path& abandoned) {
    return abandoned / "journal";
  }

  // Beside them, for the job's own files, which go when all is in place. Whoever needs it creates
  // it.
  std::filesystem::path work_path() const { return staging_ / "work"; }

  // Of the folder at path(), for good: with it a successor can ask whether that is the destination.
  std::string identity() const;
  bool is_in_place(const std::string& identity) const;

  void keep() { keep_ = true; }  // for someone to take over

  // Whether something stands at the destination now that commit() would mix with or replace.
  bool destination_in_use() const;

  // Puts the files in place, which the caller has flushed. A missing or empty destination is
  // replaced in one rename, one with other files by exchange_folders(), so that a process killed at
  // any moment leaves the old folder or the new one. Where that cannot be done, `names` are moved
  // in the order given, each over the old file of that name, then the old files for which
  // is_stale(name) are removed; when any step fails, all is moved back before the Error is thrown.
  // In a folder that was taken over from a process that died in here, this goes on where that
  // stopped, unless is_in_place(): then there is nothing left to do.
  void commit(const std::vector<std::string>& names,
              const std::function<bool(std::string_view)>& is_stale);

 private:
  void create_staging();
  bool is_inside() const { return staging_.parent_path() == destination_; }
  void set_staging(const std::filesystem::path& folder);
  void move_files(const std::vector<std::string>& names,
                  const std::function<bool(std::string_view)>& is_stale);
  void clean_up() noexcept;

  std::filesystem::path destination_;
  std::filesystem::path staging_;                       // the temporary folder, with in it
  std::filesystem::path built_, replaced_;              // the new files, and room for old ones
  std::optional<FileHandle> lock_;                      // of staging_
  std::vector<std::filesystem::path> created_parents_;  // outermost first
  bool keep_ = false;
};

}  // namespace nibble
