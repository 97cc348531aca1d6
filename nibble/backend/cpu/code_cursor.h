// SPDX-License-Identifier: Apache-2.0
//
// Where the kernels of few tokens are in a matrix of 4-bit codes. Rows follow each other without a
// gap, so that the end of one is the begin of the next.
#pragma once

#include <cstdint>

#include "nibble/tensor/dtype.h"

namespace nibble::cpu {

// What shares an absmax, in groups of columns that are one vector of codes, and how the absmax is
// stored: float32 unless narrow.
enum class BlockSpan : uint8_t { kHalfGroup, kGroups, kNarrowGroup, kNarrowGroups };

inline constexpr bool is_narrow(BlockSpan span) {
  return span == BlockSpan::kNarrowGroup || span == BlockSpan::kNarrowGroups;
}

// What all rows have in common.
struct CodeRows {
  DType scale_dtype = DType::kF32;
  int64_t groups = 0;            // per row
  int64_t groups_per_block = 1;  // 1 where a block is half a group
  int64_t group_bytes = 0;       // of codes
};

struct CodeCursor {
  const uint8_t* codes = nullptr;  // of the next group
  const char* absmax = nullptr;    // of the block that holds it
  int64_t left = 0;                // groups up to that block's end

  // `count` groups further on.
  CodeCursor ahead(BlockSpan span, const CodeRows& rows, int64_t count) const {
    CodeCursor next = *this;
    next.codes += count * rows.group_bytes;
    const int64_t bytes = size_of(rows.scale_dtype);
    if (span == BlockSpan::kHalfGroup) {
      next.absmax += 2 * count * bytes;
    } else {
      const int64_t groups = rows.groups_per_block - left + count;  // from the block's begin
      next.absmax += groups / rows.groups_per_block * bytes;
      next.left = rows.groups_per_block - groups % rows.groups_per_block;
    }
    return next;
  }
};

}  // namespace nibble::cpu
