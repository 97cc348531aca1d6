// SPDX-License-Identifier: Apache-2.0
//
// Writes a model folder: tensors streamed into safetensors shards, the index and small companions,
// all or nothing. Everything is built in a temporary folder beside the destination; what stood at
// the destination stands until the new files are complete and flushed. Memory stays bounded by what
// the caller holds: no shard is ever kept in memory. The disk must hold the new model, one shard
// more, and on overwriting the old model. A process that is killed leaves the temporary folder,
// hidden under the name .DESTINATION.*.tmp; the next writer of this destination removes it or, on
// `resume`, goes on with what is complete in there.
//
// Names and layout are those of transformers' save_pretrained: model.safetensors, or
// model-00001-of-0000N.safetensors with model.safetensors.index.json. Each file equals, byte for
// byte, what safetensors' save_file writes for the same tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nibble/io/journal.h"
#include "nibble/io/shard_writer.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct CheckpointWriterOptions {
  // Bytes of tensor data per shard. A tensor above it gets a shard of its own.
  int64_t max_shard_size = 5'000'000'000;
  // Replace the model in a folder that is not empty. Its old weights (model.safetensors or
  // pytorch_model.bin, the shards and the index of either) go away, files of the same name are
  // replaced, all others stay.
  bool overwrite = false;
  std::map<std::string, std::string> metadata = {{"format", "pt"}};  // of every shard
  std::optional<int64_t> total_parameters =
      std::nullopt;  // for the index, as transformers 5 writes it
  // Go on where an earlier process with an equal `job` was ended, if one was; the same tensors in
  // the same order then give the same files as one uninterrupted run. Throws Error when the
  // unfinished work is of another job.
  bool resume = false;
  JobDescription job = {};
};

// For the start of a long job: throws Error when `destination` is a file, or is a folder that is
// not empty, `overwrite` is false and there is nothing to resume; with `resume` what
// finished work has left beside it goes first.
void require_writable_destination(const std::filesystem::path& destination,
                                  const CheckpointWriterOptions& options);

// Whether a process that is no more left unfinished work for this destination.
bool has_unfinished_work(const std::filesystem::path& destination);

class CheckpointWriter {
 public:
  // Missing parent folders are created. Throws Error as require_writable_destination() does.
  explicit CheckpointWriter(const std::filesystem::path& destination,
                            CheckpointWriterOptions options = {});
  // Without commit() the destination is as it was and nothing is left, except after suspend().
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // All throw Error: on a name twice, on a name that is no plain file name, when the disk is full.
  // After an error the writer takes nothing more; destroy it.

  // The tensor's bytes are in the temporary folder when this returns; the tensor may go. A tensor
  // that stands there from the work that is resumed is passed over (`source` is not called).
  void add(std::string name, const Tensor& tensor);
  void add(TensorSpec spec, const TensorSource& source);

  // Steps let a job that is resumed skip what it has done. A step is done with all tensors added
  // before, and was done so in the work that is resumed when is_done() says true.
  bool is_done(const std::string& step) const;
  void mark_done(const std::string& step);

  // A folder for files of the job's own, which a writer that resumes it finds there. Whoever needs
  // it creates it; it goes with the unfinished work.
  std::filesystem::path work_folder() const;

  // Leaves what is complete for a later writer to resume.
  void suspend();
  // Small companions: config.json, tokenizer.json. `copy_file` keeps the name of `from`.
  void add_file(const std::string& name, std::string_view text);
  void copy_file(const std::filesystem::path& from);

  // Flushes everything and moves it to the destination. A new or empty destination appears in one
  // rename, an existing model is exchanged with the new one in one step where the file system can
  // do that (see StagedFolder), else file by file, weights first, moved back if that fails midway.
  void commit();

  int64_t tensors() const;        // so far, resumed ones included
  int64_t bytes_written() const;  // of their data

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
