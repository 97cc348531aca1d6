// SPDX-License-Identifier: Apache-2.0
//
// One safetensors file from tensors that come one by one. A file begins with the header, which is
// known only when the last tensor has come, and orders its data by dtype and name. So the data
// first goes to a spool file, from where the kernel copies it into order: up to twice the shard on
// disk for a moment, nothing of it in memory. The bytes of a tensor may come in any order and from
// many threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nibble/io/file_handle.h"
#include "nibble/io/safetensors.h"

namespace nibble {

// Where the bytes of one tensor go.
class TensorSink {
 public:
  // `file` from `begin` on holds the tensor's `size` bytes.
  TensorSink(FileHandle& file, int64_t begin, int64_t size)
      : file_(file), begin_(begin), size_(size) {}

  // Bytes [offset, offset + bytes.size()) of the tensor, from any thread; each byte once.
  void write(int64_t offset, std::span<const std::byte> bytes);

  // After all writes: throws Error when they were not the whole tensor. The checksum of its bytes.
  uint64_t finish() const;

 private:
  FileHandle& file_;
  int64_t begin_, size_;
  std::atomic<int64_t> written_{0};
  std::atomic<uint64_t> checksum_{0};
};

// Fills a sink.
using TensorSource = std::function<void(TensorSink&)>;

class ShardWriter {
 public:
  // `spool` must not exist; it exists between the first add() and remove_spool().
  explicit ShardWriter(std::filesystem::path spool) : spool_path_(std::move(spool)) {}

  // Returns the checksum of the bytes.
  uint64_t add(TensorSpec spec, const TensorSource& source);
  // Goes on with a spool that holds these tensors, one behind the other. Those whose bytes do not
  // have their checksum, and all behind them, are cut off; returns how many are left.
  size_t resume(std::span<const TensorSpec> specs, std::span<const uint64_t> checksums);

  bool empty() const { return specs_.empty(); }
  int64_t data_size() const { return data_size_; }

  // Writes the shard and starts afresh. The spool stays until remove_spool() or the next add().
  void finish(const std::filesystem::path& target,
              const std::map<std::string, std::string>& metadata);
  void remove_spool() noexcept;

 private:
  std::filesystem::path spool_path_;
  std::optional<FileHandle> spool_;
  std::vector<TensorSpec> specs_;  // in the order of add()
  std::vector<int64_t> offsets_;   // in the spool
  int64_t data_size_ = 0;
};

// A shard of one tensor needs no spool. Returns the checksum of the bytes.
uint64_t write_single_tensor_shard(const std::filesystem::path& target, const TensorSpec& spec,
                                   const TensorSource& source,
                                   const std::map<std::string, std::string>& metadata);

// The checksum of `size` bytes of a file from `begin` on; absent when it ends before.
std::optional<uint64_t> checksum_of_range(const FileHandle& file, int64_t begin, int64_t size);

}  // namespace nibble
