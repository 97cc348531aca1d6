// SPDX-License-Identifier: Apache-2.0
//
// Walks the header of a GGUF file and fills a GgufFile. For gguf.cc only.
#pragma once

#include <cstdint>
#include <memory>

#include "nibble/base/mapped_file.h"
#include "nibble/io/byte_reader.h"
#include "nibble/io/gguf.h"

namespace nibble {

class GgufParser {
 public:
  explicit GgufParser(std::shared_ptr<const MappedFile> mapped);

  GgufFile parse();  // once

 private:
  void read_version();
  void read_metadata(uint64_t count);
  std::string read_name(std::string_view what);
  void read_alignment();
  void read_tensors(uint64_t count);
  GgufTensorInfo read_tensor();
  void read_shape(GgufTensorInfo& info);
  void measure(GgufTensorInfo& info, const GgmlTypeTraits& traits) const;
  void place_tensors();

  std::shared_ptr<const MappedFile> mapped_;
  ByteReader reader_;
  GgufFile file_;
};

}  // namespace nibble
