// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file (version 2 or 3, little-endian), mapped: metadata, tensor infos, and tensors decoded
// to float on demand. Opening walks and checks the whole header and allocates in proportion to it,
// never to a count that the file claims. Knows no model.
//
// Format: ggml/docs/gguf.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nibble/io/gguf_blocks.h"
#include "nibble/io/gguf_value.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct GgufTensorInfo {
  std::string name;
  GgmlType type = GgmlType::kF32;
  Shape shape;         // row-major, [out, in] for a matrix: the file's dimensions reversed
  int64_t offset = 0;  // of the first byte, counted from the start of the file
  int64_t nbytes = 0;
  int64_t rows = 0;     // numel / columns
  int64_t columns = 0;  // the last dimension, 1 for a scalar; a whole number of blocks
};

class GgufFile {
 public:
  // Throws Error on any broken rule (counts, lengths, types, alignment, bounds), with byte offset.
  static GgufFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  int version() const { return version_; }
  int64_t alignment() const { return alignment_; }  // of tensor data, bytes

  const std::vector<GgufValue>& metadata() const { return metadata_; }  // in file order
  const GgufValue* find_value(std::string_view key) const;              // nullptr when absent
  const GgufValue& value(std::string_view key) const;                   // throws Error when absent

  const std::vector<GgufTensorInfo>& tensors() const { return tensors_; }  // in file order
  const GgufTensorInfo* find(std::string_view name) const;                 // nullptr when absent
  const GgufTensorInfo& tensor(std::string_view name) const;               // throws when absent

  // The tensor as stored. Here and below `info` must come from this file.
  std::span<const std::byte> raw_bytes(const GgufTensorInfo& info) const;

  // Rows [begin, end) as (end - begin) * columns floats. Const and free of shared state: callers
  // may decode ranges of one tensor from many threads. Throws Error, naming tensor and type, for
  // types that are not decoded (integers, IQ types but IQ4_NL, ternary, MXFP4).
  void decode_rows(const GgufTensorInfo& info, int64_t begin, int64_t end,
                   std::span<float> out) const;

  // Rows [begin, end) as [end - begin, columns] of F32, BF16 or F16 (rounded to nearest even from
  // the fp32 value). A tensor stored in the target dtype comes as a read-only window on the file.
  Tensor decode_rows_as(const GgufTensorInfo& info, int64_t begin, int64_t end, DType target) const;

  // The whole tensor in its shape, in the same way.
  Tensor decode(std::string_view name, DType target) const;

 private:
  friend class GgufParser;

  void check_rows(const GgufTensorInfo& info, int64_t begin, int64_t end) const;

  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  int version_ = 0;
  int64_t alignment_ = 32;
  std::vector<GgufValue> metadata_;
  std::vector<GgufTensorInfo> tensors_;
  std::unordered_map<std::string, size_t> values_by_key_, tensors_by_name_;
};

}  // namespace nibble
