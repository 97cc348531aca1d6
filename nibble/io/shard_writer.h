// SPDX-License-Identifier: Apache-2.0
//
// One safetensors file from tensors that come one by one. A file begins with the header, which is
// known only when the last tensor has come, and orders its data by dtype and name. So the data
// first goes to a spool file, from where the kernel copies it into order: up to twice the shard on
// disk for a moment, nothing of it in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nibble/io/file_handle.h"
#include "nibble/io/safetensors.h"

namespace nibble {

class ShardWriter {
 public:
  // `spool` must not exist; it exists between the first add() and finish().
  explicit ShardWriter(std::filesystem::path spool) : spool_path_(std::move(spool)) {}

  void add(TensorSpec spec, std::span<const std::byte> bytes);
  bool empty() const { return specs_.empty(); }
  int64_t data_size() const { return data_size_; }

  // Writes the flushed shard, removes the spool and starts afresh.
  void finish(const std::filesystem::path& target,
              const std::map<std::string, std::string>& metadata);

 private:
  std::filesystem::path spool_path_;
  std::optional<FileHandle> spool_;
  std::vector<TensorSpec> specs_;  // in the order of add()
  std::vector<int64_t> offsets_;   // in the spool
  int64_t data_size_ = 0;
};

// A shard of one tensor needs no spool.
void write_single_tensor_shard(const std::filesystem::path& target, const TensorSpec& spec,
                               std::span<const std::byte> bytes,
                               const std::map<std::string, std::string>& metadata);

}  // namespace nibble
