// SPDX-License-Identifier: Apache-2.0
//
// One file of named tensors, whatever its format: a table of places in a mapped file. Reading a
// tensor copies nothing where the file allows it. The formats fill it: safetensors.h, torch_file.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/base/mapped_file.h"
#include "nibble/tensor/dtype.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t offset = 0;  // of the first element, in bytes from the start of the file
  int64_t nbytes = 0;  // of the tensor: numel x size
  // In elements, one per dimension, for a view that is not row-major; empty for the others.
  std::vector<int64_t> strides;

  // True for two names of the same elements.
  bool same_data(const TensorInfo& other) const;
};

class TensorFile {
 public:
  // The places must have been checked: every element lies within the file.
  TensorFile(std::string_view format, std::shared_ptr<const MappedFile> file,
             std::vector<TensorInfo> tensors, std::map<std::string, std::string> metadata = {});

  // In the order of the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const TensorInfo* find(std::string_view name) const;  // nullptr when there is none

  // A read-only window on the mapped file, which lives as long as any of its tensors. A view that
  // is not row-major, and data that is not aligned to its dtype, are copied into memory of their
  // own, so that Tensor::data<T>() is always valid. `info` must come from this file.
  // The file must not be shortened while it is mapped.
  Tensor tensor(const TensorInfo& info) const;

  std::string_view format() const { return format_; }  // "safetensors", "pytorch"
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::string_view format_;  // a literal
  std::filesystem::path path_;
  std::shared_ptr<Buffer> buffer_;  // the whole file
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> by_name_;  // index into tensors_
  std::map<std::string, std::string> metadata_;
};

}  // namespace nibble
