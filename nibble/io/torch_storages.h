// SPDX-License-Identifier: Apache-2.0
//
// Where the storages of a torch file lie, and the check that turns a tensor that a pickle describes
// into a place in the file. For torch_file.cc only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>

#include "nibble/io/tensor_file.h"
#include "nibble/io/torch_objects.h"

namespace nibble {

class TorchStorages {
 public:
  struct Bytes {
    int64_t offset = 0;  // from the start of the file
    int64_t size = 0;    // within the file
  };

  // `file_size` bounds what a view that repeats elements may grow to.
  TorchStorages(const std::filesystem::path& path, int64_t file_size)
      : path_(path), file_size_(file_size) {}

  void add(std::string_view key, Bytes bytes) { bytes_[std::string(key)] = bytes; }

  // Throws Error, with the tensor's name, when any element lies outside its storage, or the storage
  // outside the file.
  TensorInfo place(std::string name, const PickledTensor& tensor,
                   const PickledStorage& storage) const;

 private:
  const std::filesystem::path& path_;
  int64_t file_size_;
  std::unordered_map<std::string, Bytes> bytes_;  // by key
};

}  // namespace nibble
