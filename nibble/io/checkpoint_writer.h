// SPDX-License-Identifier: Apache-2.0
//
// Writes a model folder: tensors streamed into safetensors shards, the index and small companions,
// all or nothing. Everything is built in a temporary folder beside the destination; what stood at
// the destination stands until the new files are complete and flushed. Memory stays bounded by what
// the caller holds: no shard is ever kept in memory. The disk must hold the new model, one shard
// more, and on overwriting the old model. A process that is killed leaves the temporary folder,
// hidden under the name .DESTINATION.*.tmp.
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
};

// For the start of a long job: throws Error when `destination` is a file, or is a folder that is
// not empty and `overwrite` is false.
void require_writable_destination(const std::filesystem::path& destination, bool overwrite);

class CheckpointWriter {
 public:
  // Missing parent folders are created. Throws Error as require_writable_destination() does.
  explicit CheckpointWriter(const std::filesystem::path& destination,
                            CheckpointWriterOptions options = {});
  ~CheckpointWriter();  // without commit(): nothing is left, the destination is as it was
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // All throw Error: on a name twice, on a name that is no plain file name, when the disk is full.
  // After an error the writer takes nothing more; destroy it.

  // The tensor's bytes are in the temporary folder when this returns; the tensor may go.
  void add(std::string name, const Tensor& tensor);
  // Small companions: config.json, tokenizer.json. `copy_file` keeps the name of `from`.
  void add_file(const std::string& name, std::string_view text);
  void copy_file(const std::filesystem::path& from);

  // Flushes everything and moves it to the destination. A new or empty destination appears in one
  // rename, an existing model is exchanged with the new one in one step where the file system can
  // do that (see StagedFolder), else file by file, weights first, moved back if that fails midway.
  void commit();

  int64_t bytes_written() const;  // of tensor data so far

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
