// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/staged_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>
#include <system_error>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/io/file_handle.h"
#include "nibble/io/folder_exchange.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

constexpr int kNameAttempts = 100;

// Absolute, through symbolic links, without a slash at the end: the name that rename() needs.
fs::path resolve(const fs::path& path) {
  std::error_code failure;
  fs::path resolved = fs::weakly_canonical(fs::absolute(path), failure);
  if (failure) throw Error("cannot resolve path").file(path).got(failure.message());
  if (!resolved.has_filename()) resolved = resolved.parent_path();
  return resolved;
}

bool on_another_device(const fs::path& a, const fs::path& b) {
  struct stat of_a{}, of_b{};
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 &&
         of_a.st_dev != of_b.st_dev;
}

// What a folder keeps when it is renamed or exchanged; empty when there is none.
std::string identity_of(const fs::path& folder) {
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0) return "";
  return fmt::format("{}:{}", status.st_dev, status.st_ino);
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) throw Error("cannot move into place").file(to).got(failure.message());
}

// Calls visit(folder) for the work folders of a resolved destination.
template <typename Visit>
void for_each_work_folder(const fs::path& destination, const Visit& visit) {
  constexpr std::string_view kSuffix = ".tmp";
  constexpr size_t kDigits = 8;
  const std::string prefix = fmt::format(".{}.", destination.filename().string());
  for (const fs::path& parent : {destination.parent_path(), destination}) {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(parent, failure)) {
      const std::string name = entry.path().filename().string();
      const bool fits =
          name.size() == prefix.size() + kDigits + kSuffix.size() && name.starts_with(prefix) &&
          name.ends_with(kSuffix) &&
          name.find_first_not_of("0123456789abcdef", prefix.size()) == prefix.size() + kDigits;
      if (fits && fs::is_directory(entry.symlink_status())) visit(entry.path());
    }
  }
}

fs::path replaced_in(const fs::path& staging) { return staging / "replaced"; }

// Renames that can be taken back, newest first.
class Moves {
 public:
  void move(const fs::path& from, const fs::path& to) {
    done_.emplace_back(from, to);  // first, since it can fail: no rename goes unrecorded
    try {
      rename_or_throw(from, to);
    } catch (...) {
      done_.pop_back();
      throw;
    }
  }

  // False when a file could not be moved back.
  bool undo() noexcept {
    bool complete = true;
    for (; !done_.empty(); done_.pop_back()) {
      std::error_code failure;
      fs::rename(done_.back().second, done_.back().first, failure);
      complete = complete && !failure;
    }
    return complete;
  }

 private:
  std::vector<std::pair<fs::path, fs::path>> done_;
};

}  // namespace

StagedFolder::StagedFolder(const fs::path& destination) : destination_(resolve(destination)) {
  try {
    std::vector<fs::path> missing;
    for (fs::path parent = destination_.parent_path(); !fs::exists(parent);
         parent = parent.parent_path()) {
      missing.push_back(parent);
    }
    for (auto parent = missing.rbegin(); parent != missing.rend(); ++parent) {
      if (fs::create_directory(*parent)) created_parents_.push_back(*parent);
    }
    create_staging();
  } catch (const fs::filesystem_error& failure) {
    clean_up();
    throw Error("cannot create folder").file(failure.path1()).got(failure.code().message());
  } catch (...) {
    clean_up();
    throw;
  }
}

StagedFolder::StagedFolder(const fs::path& destination, const fs::path& abandoned)
    : destination_(resolve(destination)), lock_(FileHandle::lock_folder(abandoned)) {
  if (!lock_) throw Error("another process works on this destination").file(destination);
  set_staging(abandoned);
}

StagedFolder::~StagedFolder() {
  if (!keep_) clean_up();
}

std::vector<fs::path> StagedFolder::abandoned(const fs::path& destination) {
  std::vector<fs::path> folders;
  for_each_work_folder(resolve(destination), [&](const fs::path& folder) {
    if (FileHandle::lock_folder(folder)) folders.push_back(folder);
  });
  return folders;
}

void StagedFolder::remove_abandoned(const fs::path& destination) {
  const std::vector<fs::path> folders = abandoned(destination);
  std::error_code ignored;
  for (const fs::path& folder : folders) {
    const fs::path replaced = replaced_in(folder);
    if (!fs::is_directory(replaced, ignored) || fs::is_empty(replaced, ignored)) continue;
    throw Error("a process was ended while it replaced the files of this folder")
        .file(destination)
        .hint(fmt::format("run the same command with --resume to complete it, or move the old "
                          "files back from {}",
                          replaced.string()));
  }
  for (const fs::path& folder : folders) fs::remove_all(folder, ignored);
}

void StagedFolder::discard(const fs::path& abandoned) {
  std::error_code ignored;
  const fs::path replaced = replaced_in(abandoned);
  if (fs::is_directory(replaced, ignored) && !fs::is_empty(replaced, ignored)) return;
  fs::remove_all(abandoned, ignored);
}

void StagedFolder::set_staging(const fs::path& folder) {
  staging_ = folder;
  built_ = staging_ / "built";
  replaced_ = replaced_in(staging_);
}

void StagedFolder::create_staging() {
  const fs::path beside = destination_.parent_path();
  const bool inside = on_another_device(destination_, beside);
  std::random_device random;
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    const std::string name =
        fmt::format(".{}.{:08x}.tmp", destination_.filename().string(), random());
    const fs::path candidate = (inside ? destination_ : beside) / name;
    if (fs::create_directory(candidate)) {
      // Where the file system knows no locks, nobody takes it for abandoned.
      if (auto lock = FileHandle::lock_folder(candidate)) lock_.emplace(std::move(*lock));
      set_staging(candidate);
      fs::create_directory(built_);
      return;
    }
  }
  throw Error("cannot find a free name for a temporary folder").file(beside);
}

void StagedFolder::clean_up() noexcept {
  std::error_code ignored;
  if (!staging_.empty()) {
    // The journal, which tells about them, after the files.
    fs::remove_all(built_, ignored);
    fs::remove_all(work_path(), ignored);
    fs::remove_all(replaced_, ignored);
    fs::remove_all(staging_, ignored);
  }
  // Only those still empty: someone else may have put something there meanwhile.
  for (auto parent = created_parents_.rbegin(); parent != created_parents_.rend(); ++parent) {
    fs::remove(*parent, ignored);
  }
}

bool StagedFolder::destination_in_use() const {
  if (!fs::exists(destination_)) return false;
  const auto entries = fs::directory_iterator(destination_);
  return std::any_of(begin(entries), end(entries),
                     [&](const fs::directory_entry& entry) { return entry.path() != staging_; });
}

std::string StagedFolder::identity() const { return identity_of(built_); }

bool StagedFolder::is_in_place(const std::string& identity) const {
  return !identity.empty() && identity_of(destination_) == identity;
}

void StagedFolder::commit(const std::vector<std::string>& names,
                          const std::function<bool(std::string_view)>& is_stale) {
  try {
    if (fs::exists(built_)) {  // else the rename below is done
      flush_folder(built_);
      if (!fs::exists(destination_) || fs::is_empty(destination_)) {
        rename_or_throw(built_, destination_);
      } else if (is_inside() || fs::exists(replaced_) ||  // moving has begun
                 !exchange_folders(built_, destination_, is_stale)) {
        move_files(names, is_stale);
      }
    }
    created_parents_.clear();
    flush_folder(destination_.parent_path());
    clean_up();
  } catch (const fs::filesystem_error& failure) {
    throw Error("cannot move into place").file(destination_).got(failure.code().message());
  }
}

void StagedFolder::move_files(const std::vector<std::string>& names,
                              const std::function<bool(std::string_view)>& is_stale) {
  fs::create_directory(replaced_);
  const bool taken_over = !fs::is_empty(replaced_);  // by a process that died in here
  std::vector<std::string> stale;
  for (const auto& entry : fs::directory_iterator(destination_)) {
    std::string name = entry.path().filename().string();
    const bool is_new = std::find(names.begin(), names.end(), name) != names.end();
    if (!is_new && is_stale(name)) stale.push_back(std::move(name));
  }

  Moves moves;
  try {
    for (const std::string& name : names) {
      if (!fs::exists(built_ / name) && fs::exists(destination_ / name)) continue;  // moved before
      const fs::file_status old = fs::symlink_status(destination_ / name);
      if (fs::is_directory(old)) {
        throw Error("a folder stands where a file must go").file(destination_ / name);
      }
      if (fs::exists(old)) moves.move(destination_ / name, replaced_ / name);
      moves.move(built_ / name, destination_ / name);
    }
    for (const std::string& name : stale) moves.move(destination_ / name, replaced_ / name);
    flush_folder(destination_);
  } catch (...) {
    // Old files that cannot go back must not go away with the staging folder.
    if (!moves.undo() || taken_over) staging_.clear();
    throw;
  }
}

}  // namespace nibble
