// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/resumed_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/staged_folder.h"
#include "nibble/io/weight_names.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

// True when the file is a whole shard with these tensors, byte for byte.
bool is_sound_shard(const fs::path& path, std::span<const JournalEvent* const> tensors) {
  try {
    const SafetensorsFile shard = SafetensorsFile::open(path);
    const FileHandle file = FileHandle::open(path);
    return std::all_of(tensors.begin(), tensors.end(), [&](const JournalEvent* event) {
      const TensorInfo* info = shard.find(event->spec.name);
      return info != nullptr && info->dtype == event->spec.dtype &&
             info->shape == event->spec.shape &&
             checksum_of_range(file, info->offset, info->nbytes) == event->checksum;
    });
  } catch (const Error&) {
    return false;
  }
}

// A process that died when it gave the shards their final names left some of each.
fs::path take_staged_name(const fs::path& folder, size_t shard, size_t shards) {
  const fs::path staged = folder / staged_shard_name(shard);
  const fs::path final = folder / final_shard_name(shard, shards);
  if (!fs::exists(staged) && fs::exists(final)) fs::rename(final, staged);
  return staged;
}

std::string first_difference(const JobDescription& left, const JobDescription& right) {
  for (const auto& [key, value] : left) {
    const auto found = right.find(key);
    if (found == right.end() || found->second != value) return key;
  }
  return right.empty() ? "" : right.begin()->first;
}

std::string value_of(const JobDescription& job, const std::string& key) {
  const auto found = job.find(key);
  return found == job.end() ? "nothing" : found->second;
}

}  // namespace

std::string staged_shard_name(size_t shard) { return fmt::format("model-{}.safetensors", shard); }

std::string final_shard_name(size_t shard, size_t shards) {
  return shards == 1 ? std::string(kSingleWeightsName) : shard_name(shard, shards);
}

std::optional<UnfinishedWork> find_unfinished_work(const fs::path& destination,
                                                   const JobDescription& job) {
  std::optional<UnfinishedWork> other;
  for (const fs::path& folder : StagedFolder::abandoned(destination)) {
    std::optional<Journal::Story> story = Journal::read(StagedFolder::journal_path(folder));
    if (!story) {  // killed before it had begun
      StagedFolder::discard(folder);
      continue;
    }
    if (story->job == job) return UnfinishedWork{folder, std::move(*story)};
    other = UnfinishedWork{folder, std::move(*story)};
  }
  if (!other) return std::nullopt;
  const std::string key = first_difference(job, other->story.job);
  throw Error(fmt::format("the unfinished work is of another job: its {} differs", key))
      .file(destination)
      .expected(value_of(job, key))
      .got(value_of(other->story.job, key))
      .hint("repeat the command that was interrupted, or leave --resume out to start anew");
}

size_t restore_work(const fs::path& folder, std::span<const JournalEvent> events,
                    ShardWriter& open_shard) {
  // Files may be at the destination already, where nothing more changes.
  if (!events.empty() && events.back().kind == JournalEvent::Kind::kCommit) return events.size();
  fs::create_directory(folder);  // gone if the process was ended while it removed its work

  const auto count_shards = [](std::span<const JournalEvent> part) {
    return static_cast<size_t>(std::count_if(part.begin(), part.end(), [](const JournalEvent& e) {
      return e.kind == JournalEvent::Kind::kShard || e.kind == JournalEvent::Kind::kAlone;
    }));
  };
  const size_t shards = count_shards(events);
  std::vector<const JournalEvent*> open;  // tensors whose shard is not closed yet
  size_t opened_at = 0;                   // the first of them, as an index into `events`
  size_t sound = events.size(), finished = 0;
  for (size_t i = 0; i < sound; ++i) {
    const JournalEvent& event = events[i];
    if (event.kind == JournalEvent::Kind::kTensor) {
      if (open.empty()) opened_at = i;
      open.push_back(&event);
    } else if (event.kind == JournalEvent::Kind::kAlone ||
               event.kind == JournalEvent::Kind::kShard) {
      const bool alone = event.kind == JournalEvent::Kind::kAlone;
      const JournalEvent* const itself = &event;
      const fs::path path = take_staged_name(folder, finished, shards);
      const auto tensors = alone ? std::span(&itself, 1) : std::span(open);
      if (is_sound_shard(path, tensors)) {
        ++finished;
      } else {
        sound = alone ? i : opened_at;
      }
      if (!alone) open.clear();
    }
  }

  std::vector<TensorSpec> specs;
  std::vector<uint64_t> checksums;
  for (const JournalEvent* event : open) {
    specs.push_back(event->spec);
    checksums.push_back(event->checksum);
  }
  if (const size_t kept = open_shard.resume(specs, checksums); kept < open.size()) {
    sound = std::min(sound, static_cast<size_t>(open[kept] - events.data()));
  }

  std::set<std::string> wanted;
  for (size_t i = 0; i < count_shards(events.first(sound)); ++i) {
    wanted.insert(staged_shard_name(i));
  }
  if (!open_shard.empty()) wanted.insert(kSpoolName);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!wanted.contains(entry.path().filename().string())) fs::remove(entry.path());
  }
  return sound;
}

}  // namespace nibble
