// SPDX-License-Identifier: Apache-2.0
//
// A saved model as one map from names to tensors, over one safetensors file or over shards with an
// index. Read-only and mapped: opening checks every header and reads no weights. Knows no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/io/safetensors.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

class Checkpoint {
 public:
  // `model`: a folder with model.safetensors or (failing that) model.safetensors.index.json and its
  // shards, or one .safetensors file. Throws Error when a shard or a tensor that the index names is
  // missing, when a shard's name leads out of the folder, or when the path holds weights in a
  // format that is not read here (pytorch_model.bin, GGUF): the message says what to do.
  static Checkpoint open(const std::filesystem::path& model);

  // Where config.json, tokenizer.json and the like stand.
  const std::filesystem::path& folder() const { return folder_; }

  const std::vector<std::string>& names() const { return names_; }  // sorted
  bool contains(std::string_view name) const;

  // All three throw Error with the file, the name and the closest existing name.
  Tensor tensor(std::string_view name) const;  // see SafetensorsFile::tensor
  const TensorInfo& info(std::string_view name) const;
  const std::filesystem::path& file_of(std::string_view name) const;

  int64_t total_bytes() const { return total_bytes_; }  // of all tensors, headers not counted

  // The files of weights, in the order of their names.
  const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  struct Place {
    size_t file;    // index into files_
    size_t tensor;  // index into its tensors()
  };

  const Place& place_of(std::string_view name) const;
  void open_shards(const std::filesystem::path& index_path);
  void add_file(const std::filesystem::path& path);
  void add_tensor(size_t file, size_t tensor);

  std::filesystem::path folder_;
  std::filesystem::path source_;  // the file that names all tensors: the index or the only file
  std::vector<SafetensorsFile> files_;
  std::unordered_map<std::string, Place> places_;
  std::vector<std::string> names_;
  int64_t total_bytes_ = 0;
};

}  // namespace nibble
