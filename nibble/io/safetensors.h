// SPDX-License-Identifier: Apache-2.0
//
// One .safetensors file: a checked header and mapped tensor data. Reading copies nothing and knows
// no model; writing is here only as far as the header bytes, which equal those of the official
// serializer (checkpoint_writer.h streams the data).
//
// Format: https://github.com/huggingface/safetensors (README, "Format"): an 8-byte little-endian
// header length N, N bytes of JSON, then the data, which the tensors must cover without gap.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/tensor/dtype.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t offset = 0;  // of the first byte, counted from the start of the file
  int64_t nbytes = 0;
};

class SafetensorsFile {
 public:
  // Maps the file and checks its whole header; the data is not touched. Throws Error (file, tensor,
  // byte offset) on the first rule that the file breaks: header length (at most 100 MB), valid JSON
  // that begins with '{', known dtypes, no name twice, sizes equal to dtype x shape, offsets that
  // cover the data exactly.
  static SafetensorsFile open(const std::filesystem::path& path);

  // In the order of their data; empty tensors that share an offset are ordered by name.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const TensorInfo* find(std::string_view name) const;  // nullptr when there is none

  // A read-only window on the mapped file, which lives as long as any of its tensors. The format
  // does not promise that data is aligned to its dtype: a misaligned tensor is copied into memory
  // of its own, so that Tensor::data<T>() is always valid. `info` must come from this file.
  // The file must not be shortened while it is mapped.
  Tensor tensor(const TensorInfo& info) const;

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::shared_ptr<Buffer> buffer_;  // the whole file
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> by_name_;  // index into tensors_
  std::map<std::string, std::string> metadata_;
};

// What a header says about a tensor before its place in the file is known.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

// The order in which the official serializer lays out tensors, as indices into `specs`: widest
// dtype first (ties by its own ranking of dtypes), then by name.
std::vector<size_t> safetensors_order(std::span<const TensorSpec> specs);

// The first bytes of a file, exactly as the official serializer writes them: the length, then JSON
// without spaces, `__metadata__` first (left out when empty), tensors in safetensors_order(),
// padded with spaces to a multiple of 8 bytes. The data must follow in the same order. Throws Error
// on a name twice or reserved, on names that are not UTF-8 and on a header above 100 MB.
std::string safetensors_header(std::span<const TensorSpec> specs,
                               const std::map<std::string, std::string>& metadata);

}  // namespace nibble
