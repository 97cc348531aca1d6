// SPDX-License-Identifier: Apache-2.0
//
// Weights in the form that a backend's kernels read, kept in files so that they are made once and
// mapped from then on: one safetensors file per module, each with its key and a checksum. A file
// that is of another key, torn or damaged is none: its weight is made again. Any number of
// processes may share a folder. Knows no model and no scheme.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/nn/weight_cache_key.h"

namespace nibble {

class WeightCache {
 public:
  // Of the files in FOLDER/SLOT, which is created with the first of them.
  WeightCache(const std::filesystem::path& folder, WeightCacheKey key, ThreadPool& pool);

  // The weight of a module [rows, cols], mapped; absent when it has to be made.
  std::optional<Weight> find(const std::string& module, int64_t rows, int64_t cols);

  // Stores a weight and returns it mapped, so that its memory can go. Returns it as it is when the
  // codes are mapped already, as the file of the model has them, and when it cannot be stored;
  // after the first failure nothing more is tried.
  Weight keep(const std::string& module, const Weight& weight);

  const std::filesystem::path& folder() const { return folder_; }
  int64_t found() const { return found_; }
  int64_t stored() const { return stored_; }
  int64_t refused() const { return refused_; }  // files that were of no use
  // The first reason to refuse one, and not to store one; empty: none.
  const std::string& refusal() const { return refusal_; }
  const std::string& failure() const { return failure_; }

 private:
  std::filesystem::path file_of(const std::string& module) const;
  Weight read(const std::filesystem::path& path) const;
  void write(const std::filesystem::path& path, const Weight& weight);

  std::filesystem::path folder_;
  std::string key_;
  ThreadPool& pool_;
  int64_t found_ = 0, stored_ = 0, refused_ = 0;
  std::string refusal_, failure_;
};

}  // namespace nibble
