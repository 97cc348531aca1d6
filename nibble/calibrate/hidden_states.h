// SPDX-License-Identifier: Apache-2.0
//
// The hidden states of all sequences of a calibration between two blocks, in memory up to a budget.
// With a folder they are in files of it, too, under a record of what was done before: from there a
// job whose process was killed goes on. Files hold one set of states, and two while a block is at
// work.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "nibble/io/file_handle.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

class HiddenStates {
 public:
  // `folder`: empty for none; then the budget, in bytes, does not count.
  HiddenStates(std::span<const std::vector<int32_t>> sequences, int64_t width,
               std::filesystem::path folder, int64_t max_memory);

  size_t size() const { return offsets_.size() - 1; }  // sequences
  int64_t bytes() const { return offsets_.back(); }    // of all together

  // The input of the block at work, [tokens, width] float32.
  Tensor get(size_t sequence) const;
  // What becomes of it. The sequence is not read again before advance().
  void set(size_t sequence, const Tensor& output);

  // What is set is the input of the next block. The first block's are set before the first call.
  void advance();
  int64_t block() const { return block_; }

  // Keeps them, and `record`, for restore(block()); what was kept for the block before stays until
  // forget_previous().
  void save(const nlohmann::ordered_json& record) const;
  void forget_previous() const;

  // The record of `block`, whose states are then here; absent, and nothing changed, where the
  // folder does not have them as they were saved. All other files of the folder go.
  std::optional<nlohmann::ordered_json> restore(int64_t block);

 private:
  std::filesystem::path data_path(int64_t block) const;
  std::filesystem::path record_path(int64_t block) const;
  Tensor read(const FileHandle& file, size_t sequence) const;
  std::optional<nlohmann::ordered_json> read_record(int64_t block);

  std::filesystem::path folder_;
  int64_t width_;
  std::vector<int64_t> offsets_;  // of each sequence in the file, in bytes, and the size of all
  std::vector<Tensor> kept_;      // the first ones, as many as the budget holds
  std::optional<FileHandle> inputs_, outputs_;
  uint64_t input_checksum_ = 0, output_checksum_ = 0;
  int64_t block_ = -1;
};

}  // namespace nibble
