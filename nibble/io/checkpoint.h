// SPDX-License-Identifier: Apache-2.0
//
// A saved model as one map from names to tensors, over one file or over shards with an index, in
// safetensors or as torch.save writes it. Read-only and mapped: opening checks every header and
// reads no weights. Knows no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/io/tensor_file.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

class Checkpoint {
 public:
  // `model`: one .safetensors file, one .bin, .pt, .pth or .ckpt file of torch.save, or a folder
  // with the first of these: model.safetensors, model.safetensors.index.json and its shards,
  // pytorch_model.bin, pytorch_model.bin.index.json and its shards (the order of transformers).
  // Throws Error when a shard or a tensor that the index names is missing, when a shard's name
  // leads out of the folder, or when the path holds weights in a format that is not read here
  // (GGUF): the message says what to do.
  static Checkpoint open(const std::filesystem::path& model);

  // Where config.json, tokenizer.json and the like stand.
  const std::filesystem::path& folder() const { return folder_; }

  const std::vector<std::string>& names() const { return names_; }  // sorted
  bool contains(std::string_view name) const;

  // All three throw Error with the file, the name and the closest existing name.
  Tensor tensor(std::string_view name) const;  // see TensorFile::tensor
  const TensorInfo& info(std::string_view name) const;
  const std::filesystem::path& file_of(std::string_view name) const;

  // Names of the same elements of a file, as tied weights have them in a pickle: from each but the
  // first (in the order of the file) to the first.
  const std::map<std::string, std::string>& aliases() const { return aliases_; }

  // Of all tensors, aliases not counted.
  int64_t total_bytes() const { return total_bytes_; }

  // The files of weights, in the order of their names.
  const std::vector<TensorFile>& files() const { return files_; }

 private:
  struct Place {
    size_t file;    // index into files_
    size_t tensor;  // index into its tensors()
  };

  const Place& place_of(std::string_view name) const;
  void open_folder();
  void open_shards(const std::filesystem::path& index_path);
  void open_file(const std::filesystem::path& path);
  void add_tensor(size_t file, size_t tensor);
  void find_aliases();

  std::filesystem::path folder_;
  std::filesystem::path source_;  // the file that names all tensors: the index or the only file
  std::vector<TensorFile> files_;
  std::unordered_map<std::string, Place> places_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> aliases_;
  int64_t total_bytes_ = 0;
};

}  // namespace nibble
