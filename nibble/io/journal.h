// SPDX-License-Identifier: Apache-2.0
//
// What a long job has finished so far, as lines of JSON that are appended and never changed, so
// that after a kill at any moment the file holds a prefix of the job's story and at most one torn
// line. Nothing is flushed here: checksums tell whether the data that a line speaks of arrived.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nibble/io/file_handle.h"
#include "nibble/io/safetensors.h"

namespace nibble {

// What tells one job from another: its command, options, and the state of its source.
using JobDescription = std::map<std::string, std::string>;

struct JournalEvent {
  enum class Kind {
    kTensor,  // `spec` is written, at the end of the open shard
    kAlone,   // `spec` is written, as a shard of its own
    kShard,   // the open shard is closed
    kStep,    // the job's step `name` is done, with all its tensors
    kCommit,  // `files` in the folder of identity `name` are complete and on their way
  };
  Kind kind = Kind::kStep;
  TensorSpec spec = {};
  uint64_t checksum = 0;
  std::string name = {};
  std::vector<std::string> files = {};
  int64_t offset = 0;  // of its line in the journal
};

class Journal {
 public:
  static Journal create(const std::filesystem::path& path, const JobDescription& job);

  // The job of a journal on disk and its events up to the first torn line. Absent when not even the
  // first line is whole: then nothing was done.
  struct Story {
    JobDescription job;
    std::vector<JournalEvent> events;
    int64_t size = 0;  // bytes of whole lines
  };
  static std::optional<Story> read(const std::filesystem::path& path);

  // Goes on behind the first `size` bytes and forgets the rest.
  static Journal resume(const std::filesystem::path& path, int64_t size);

  void append(const JournalEvent& event);

 private:
  explicit Journal(FileHandle file) : file_(std::move(file)) {}
  FileHandle file_;
};

}  // namespace nibble
