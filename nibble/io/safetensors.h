// SPDX-License-Identifier: Apache-2.0
//
// One .safetensors file: a checked header and mapped tensor data. Reading copies nothing and knows
// no model; writing is here only as far as the header bytes, which equal those of the official
// serializer (checkpoint_writer.h streams the data).
//
// Format: https://github.com/huggingface/safetensors (README, "Format"): an 8-byte little-endian
// header length N, N bytes of JSON, then the data, which the tensors must cover without gap.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nibble/io/tensor_file.h"
#include "nibble/tensor/dtype.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

class SafetensorsFile : public TensorFile {
 public:
  // Maps the file and checks its whole header; the data is not touched. Tensors come in the order
  // of their data, empty ones that share an offset by name. Throws Error (file, tensor, byte
  // offset) on the first rule that the file breaks: header length (at most 100 MB), valid JSON that
  // begins with '{', known dtypes, no name twice, sizes equal to dtype x shape, offsets that cover
  // the data exactly.
  static SafetensorsFile open(const std::filesystem::path& path);

 private:
  using TensorFile::TensorFile;
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
