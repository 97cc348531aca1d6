// SPDX-License-Identifier: Apache-2.0
//
// What an earlier CheckpointWriter left in its temporary folder: finds it by its job, and restores
// it to the state after the last event of its journal whose data is proven to be there.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "nibble/io/journal.h"
#include "nibble/io/shard_writer.h"

namespace nibble {

// Names of weights while their number is not known yet: names that no companion can have.
inline constexpr const char* kSpoolName = "model-spool.safetensors";
std::string staged_shard_name(size_t shard);
std::string final_shard_name(size_t shard, size_t shards);

struct UnfinishedWork {
  std::filesystem::path folder;  // see StagedFolder::abandoned()
  Journal::Story story;
};

// Absent when there is none. Throws Error, naming the difference, when there is only work of other
// jobs.
std::optional<UnfinishedWork> find_unfinished_work(const std::filesystem::path& destination,
                                                   const JobDescription& job);

// Checks the finished shards in `folder` and the spool of the open one (taken into `open_shard`)
// against the checksums of `events`, gives finished shards their staged names, and removes all
// other files. Returns how many events are true; what came behind them is gone.
size_t restore_work(const std::filesystem::path& folder, std::span<const JournalEvent> events,
                    ShardWriter& open_shard);

}  // namespace nibble
