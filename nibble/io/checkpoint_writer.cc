// SPDX-License-Identifier: Apache-2.0
#include "nibble/io/checkpoint_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/io/file_handle.h"
#include "nibble/io/resumed_work.h"
#include "nibble/io/shard_writer.h"
#include "nibble/io/staged_folder.h"
#include "nibble/io/weight_names.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

// Throws Error when the unfinished work at this destination is of other jobs only.
std::optional<UnfinishedWork> work_to_resume(const fs::path& destination,
                                             const CheckpointWriterOptions& options) {
  if (options.resume) return find_unfinished_work(destination, options.job);
  StagedFolder::remove_abandoned(destination);
  return std::nullopt;
}

}  // namespace

bool has_unfinished_work(const fs::path& destination) {
  const auto folders = StagedFolder::abandoned(destination);
  return std::any_of(folders.begin(), folders.end(), [](const fs::path& folder) {
    return Journal::read(StagedFolder::journal_path(folder)).has_value();
  });
}

void require_writable_destination(const fs::path& destination,
                                  const CheckpointWriterOptions& options) {
  std::error_code failure;
  const fs::file_status status = fs::status(destination, failure);
  if (status.type() == fs::file_type::not_found) return;
  if (status.type() == fs::file_type::none) {
    throw Error("cannot look at the destination").file(destination).got(failure.message());
  }
  if (!fs::is_directory(status)) {
    throw Error("destination is not a folder").file(destination).hint("give the name of a folder");
  }
  const bool empty = fs::is_empty(destination, failure);
  if (failure) throw Error("cannot read folder").file(destination).got(failure.message());
  if (empty || options.overwrite) return;
  if (!options.resume) {
    throw Error("destination exists and is not empty")
        .file(destination)
        .hint("choose another, or allow overwriting (--overwrite)");
  }
  if (!has_unfinished_work(destination)) {
    // Of a process that was killed while it removed its work.
    for (const fs::path& folder : StagedFolder::abandoned(destination)) {
      StagedFolder::discard(folder);
    }
    throw Error("destination is not empty, and there is no unfinished work to resume")
        .file(destination)
        .hint("it may be finished: --overwrite makes it anew");
  }
}

class CheckpointWriter::Impl {
 public:
  Impl(const fs::path& destination, CheckpointWriterOptions options,
       const std::optional<UnfinishedWork>& work)
      : destination_(destination),
        options_(std::move(options)),
        staging_(work ? std::make_unique<StagedFolder>(destination, work->folder)
                      : std::make_unique<StagedFolder>(destination)),
        shard_(staging_->path() / kSpoolName) {
    if (options_.max_shard_size <= 0) {
      throw Error("max_shard_size is not positive").got(std::to_string(options_.max_shard_size));
    }
    if (work) {
      try {
        resume(work->story);
      } catch (...) {
        staging_->keep();
        throw;
      }
    } else if (!options_.job.empty()) {
      journal_.emplace(Journal::create(staging_->journal_path(), options_.job));
    }
  }

  void add(TensorSpec spec, const TensorSource& source) {
    const int64_t size = checked_numel(spec.shape, size_of(spec.dtype)) * size_of(spec.dtype);
    if (const auto found = resumed_.find(spec.name); found != resumed_.end()) {
      if (found->second.dtype != spec.dtype || found->second.shape != spec.shape) {
        throw Error("the unfinished work has this tensor in another dtype or shape")
            .tensor(spec.name);
      }
      resumed_.erase(found);
      return;
    }
    if (committing_) return;
    if (shard_of_.contains(spec.name)) throw Error("tensor was added before").tensor(spec.name);
    JournalEvent event{.kind = JournalEvent::Kind::kTensor, .spec = spec};
    // As transformers cuts: an oversized tensor becomes the next shard and the open one goes on.
    if (size > options_.max_shard_size) {
      event.kind = JournalEvent::Kind::kAlone;
      event.checksum = write_single_tensor_shard(next_shard(), spec, source, options_.metadata);
    } else {
      if (shard_.data_size() > options_.max_shard_size - size) finish_shard();
      event.checksum = shard_.add(spec, source);
    }
    account(event);
    record(event);
  }

  bool is_done(const std::string& step) const { return committing_ || steps_.contains(step); }

  void mark_done(const std::string& step) {
    if (committing_) return;
    record({.kind = JournalEvent::Kind::kStep, .name = step});
  }

  fs::path work_folder() const { return staging_->work_path(); }

  void suspend() {
    if (journal_) staging_->keep();
  }

  FileHandle create_companion(const std::string& name) {
    const bool plain = !name.empty() && name != "." && name != ".." &&
                       name.find_first_of(std::string_view("/\0", 2)) == name.npos;
    if (!plain || is_weights_file(name)) {
      throw Error("not a name for a file beside the weights").got(name);
    }
    if (!companions_.insert(name).second) throw Error("file was added before").got(name);
    return FileHandle::create(staging_->path() / name);
  }

  void add_file(const std::string& name, std::string_view text) {
    if (committing_) return;
    FileHandle file = create_companion(name);
    file.append(text);
    file.flush();
  }

  void copy_file(const fs::path& from) {
    if (committing_) return;
    const FileHandle source = FileHandle::open(from);
    FileHandle file = create_companion(from.filename().string());
    file.append_range(source, 0, source.size());
    file.flush();
  }

  void commit() {
    if (!committing_) {
      if (shard_of_.empty()) throw Error("no tensor was added").file(destination_);
      if (!shard_.empty()) finish_shard();
      if (!options_.overwrite && staging_->destination_in_use()) {
        throw Error("destination was used by someone else meanwhile").file(destination_);
      }
      committing_ = finish_files();
      record({.kind = JournalEvent::Kind::kCommit,
              .name = staging_->identity(),
              .files = *committing_});
    } else if (staging_->is_in_place(committed_folder_)) {
      return;  // only the work folder is left, which goes with this object
    }
    staging_->commit(*committing_, is_saved_model_file);
  }

  // Runs one operation; after a failure what is staged may be incomplete and nothing more is taken.
  template <typename Operation>
  void guarded(const Operation& operation) {
    if (closed_) {
      throw Error("checkpoint is closed").file(destination_).hint("it was committed or failed");
    }
    closed_ = true;
    try {
      operation();
    } catch (const fs::filesystem_error& failure) {
      throw Error("cannot write checkpoint").file(destination_).got(failure.code().message());
    }
    closed_ = false;
  }

  void close() { closed_ = true; }
  int64_t tensors() const { return std::ssize(shard_of_); }
  int64_t bytes_written() const { return bytes_written_; }

 private:
  static constexpr size_t kOpenShard = SIZE_MAX;

  fs::path next_shard() const { return staging_->path() / staged_shard_name(shards_); }

  void finish_shard() {
    shard_.finish(next_shard(), options_.metadata);
    const JournalEvent event{.kind = JournalEvent::Kind::kShard};
    account(event);
    record(event);
    shard_.remove_spool();  // only now: until its shard is recorded the spool is what counts
  }

  // What an event, new or resumed, means for the state of this writer.
  void account(const JournalEvent& event) {
    switch (event.kind) {
      case JournalEvent::Kind::kTensor:
        open_names_.push_back(event.spec.name);
        shard_of_[event.spec.name] = kOpenShard;
        break;
      case JournalEvent::Kind::kAlone:
        shard_of_[event.spec.name] = shards_++;
        break;
      case JournalEvent::Kind::kShard:
        for (const std::string& name : open_names_) shard_of_[name] = shards_;
        open_names_.clear();
        ++shards_;
        return;
      case JournalEvent::Kind::kStep:
        steps_.insert(event.name);
        return;
      case JournalEvent::Kind::kCommit:
        committing_ = event.files;
        committed_folder_ = event.name;
        return;
    }
    bytes_written_ +=
        checked_numel(event.spec.shape, size_of(event.spec.dtype)) * size_of(event.spec.dtype);
  }

  void record(const JournalEvent& event) {
    if (journal_) journal_->append(event);
  }

  void resume(const Journal::Story& story) {
    const size_t sound = restore_work(staging_->path(), story.events, shard_);
    for (const JournalEvent& event : std::span(story.events).first(sound)) {
      account(event);
      if (event.kind == JournalEvent::Kind::kTensor || event.kind == JournalEvent::Kind::kAlone) {
        resumed_.emplace(event.spec.name, event.spec);
      }
    }
    const bool all = sound == story.events.size();
    journal_.emplace(
        Journal::resume(staging_->journal_path(), all ? story.size : story.events[sound].offset));
  }

  // Gives all files their final names and flushes them; returns the names in the order of moving:
  // weights, then what describes them, the index at the end.
  std::vector<std::string> finish_files() {
    std::vector<std::string> names;
    for (size_t i = 0; i < shards_; ++i) {
      names.push_back(final_shard_name(i, shards_));
      fs::rename(staging_->path() / staged_shard_name(i), staging_->path() / names.back());
      FileHandle::open(staging_->path() / names.back()).flush();
    }
    names.insert(names.end(), companions_.begin(), companions_.end());
    if (shards_ > 1) {
      write_index();
      names.emplace_back(kWeightsIndexName);
    }
    return names;
  }

  void write_index() {
    nlohmann::json index;  // sorts keys, as transformers does
    index["metadata"]["total_size"] = bytes_written_;
    if (options_.total_parameters) {
      index["metadata"]["total_parameters"] = *options_.total_parameters;
    }
    nlohmann::json& weight_map = index["weight_map"];
    for (const auto& [name, shard] : shard_of_) weight_map[name] = shard_name(shard, shards_);
    FileHandle file = FileHandle::create(staging_->path() / kWeightsIndexName);
    file.append(index.dump(2, ' ', /*ensure_ascii=*/true) + '\n');
    file.flush();
  }

  fs::path destination_;
  CheckpointWriterOptions options_;
  std::unique_ptr<StagedFolder> staging_;
  ShardWriter shard_;
  size_t shards_ = 0;  // finished ones
  std::map<std::string, size_t> shard_of_;
  std::vector<std::string> open_names_;  // of tensors in the open shard
  std::set<std::string> companions_;
  int64_t bytes_written_ = 0;
  std::optional<Journal> journal_;             // of a job that can be resumed
  std::set<std::string> steps_;                // done in the work that is resumed
  std::map<std::string, TensorSpec> resumed_;  // tensors of it that were not added again yet
  std::optional<std::vector<std::string>> committing_;  // complete, on their way to the destination
  std::string committed_folder_;                        // its identity, of the work that is resumed
  bool closed_ = false;
};

CheckpointWriter::CheckpointWriter(const fs::path& destination, CheckpointWriterOptions options) {
  require_writable_destination(destination, options);
  const auto work = work_to_resume(destination, options);
  impl_ = std::make_unique<Impl>(destination, std::move(options), work);
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::add(std::string name, const Tensor& tensor) {
  impl_->guarded([&] {
    if (!tensor.defined()) throw Error("tensor is undefined").tensor(name);
    if (!tensor.device().is_cpu()) {
      throw Error("tensor is not on the host").tensor(name).got(tensor.device().name());
    }
    impl_->add({std::move(name), tensor.dtype(), tensor.shape()},
               [&](TensorSink& sink) { sink.write(0, tensor.bytes()); });
  });
}

void CheckpointWriter::add(TensorSpec spec, const TensorSource& source) {
  impl_->guarded([&] { impl_->add(std::move(spec), source); });
}

bool CheckpointWriter::is_done(const std::string& step) const { return impl_->is_done(step); }

void CheckpointWriter::mark_done(const std::string& step) {
  impl_->guarded([&] { impl_->mark_done(step); });
}

fs::path CheckpointWriter::work_folder() const { return impl_->work_folder(); }

void CheckpointWriter::suspend() { impl_->suspend(); }

void CheckpointWriter::add_file(const std::string& name, std::string_view text) {
  impl_->guarded([&] { impl_->add_file(name, text); });
}

void CheckpointWriter::copy_file(const fs::path& from) {
  impl_->guarded([&] { impl_->copy_file(from); });
}

void CheckpointWriter::commit() {
  impl_->guarded([&] { impl_->commit(); });
  impl_->close();
}

int64_t CheckpointWriter::tensors() const { return impl_->tensors(); }

int64_t CheckpointWriter::bytes_written() const { return impl_->bytes_written(); }

}  // namespace nibble
