// SPDX-License-Identifier: Apache-2.0
//
// Where the kernels of few tokens are in a matrix of 4-bit codes. Rows follow each other without a
// gap, so that the end of one is the begin of the next.
#pragma once

#include <cstdint>

#include "nibble/tensor/dtype.h"

namespace nibble::cpu {

// What has an absmax of its own, a group being the columns of one vector of codes: where groups
// share one, it is spread over them before. Float32 unless narrow.
enum class BlockSpan : uint8_t { kHalfGroup, kGroup, kNarrowGroup };

// What all rows have in common.
struct CodeRows {
  DType scale_dtype = DType::kF32;
  int64_t groups = 0;        // per row
  int64_t group_bytes = 0;   // of codes
  int64_t group_absmax = 1;  // 2 where a block is half a group
};

struct CodeCursor {
  const uint8_t* codes = nullptr;  // of the next group
  const char* absmax = nullptr;    // of its first block

  // `count` groups further on.
  CodeCursor ahead(const CodeRows& rows, int64_t count) const {
    return {codes + count * rows.group_bytes,
            absmax + count * rows.group_absmax * size_of(rows.scale_dtype)};
  }
};

}  // namespace nibble::cpu
