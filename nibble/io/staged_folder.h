// SPDX-License-Identifier: Apache-2.0
//
// A folder that is built out of sight and put in place at the end, or never. It stands beside the
// destination (inside it where the destination is a mount point, since files cannot be renamed
// across file systems).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

class StagedFolder {
 public:
  // Creates missing parents of `destination`, and an empty folder to build in.
  explicit StagedFolder(const std::filesystem::path& destination);
  ~StagedFolder();  // removes what commit() has not put in place, created parents included
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return built_; }  // build here: plain files only

  // Whether something stands at the destination now that commit() would mix with or replace.
  bool destination_in_use() const;

  // Puts the files in place, which the caller has flushed. A missing or empty destination is
  // replaced in one rename, one with other files by exchange_folders(), so that a process killed at
  // any moment leaves the old folder or the new one. Where that cannot be done, `names` are moved
  // in the order given, each over the old file of that name, then the old files for which
  // is_stale(name) are removed; when any step fails, all is moved back before the Error is thrown.
  void commit(const std::vector<std::string>& names,
              const std::function<bool(std::string_view)>& is_stale);

 private:
  void create_staging();
  bool is_inside() const { return staging_.parent_path() == destination_; }
  void move_files(const std::vector<std::string>& names,
                  const std::function<bool(std::string_view)>& is_stale);
  void clean_up() noexcept;

  std::filesystem::path destination_;
  std::filesystem::path staging_;                       // the temporary folder, with in it
  std::filesystem::path built_, replaced_;              // the new files, and room for old ones
  std::vector<std::filesystem::path> created_parents_;  // outermost first
};

}  // namespace nibble
