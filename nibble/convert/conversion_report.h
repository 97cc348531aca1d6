// SPDX-License-Identifier: Apache-2.0
//
// What a job over a whole checkpoint tells about itself when it is done.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {

struct ConversionReport {
  int64_t tensors = 0;               // in the new checkpoint
  int64_t modules_converted = 0;     // Linear modules quantized or dequantized
  int64_t modules_kept = 0;          // Linear modules left as they were
  std::vector<std::string> misfits;  // of the latter those whose shape the packing cannot hold
  std::string misfit;                // of the first: its shape, and what the packing asks for
  int64_t bytes_before = 0, bytes_after = 0;  // of tensor data
  double seconds = 0;                         // of this process, not of one that it resumed
};

}  // namespace nibble
