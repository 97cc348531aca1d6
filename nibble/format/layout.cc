// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/layout.h"

namespace nibble {

std::string_view layout_name(Layout layout) {
  switch (layout) {
    case Layout::kDense:
      return "dense";
    case Layout::kInt8Row:
      return "int8_row";
    case Layout::kCodeBlock:
      return "code_block";
    case Layout::kAffineGroup:
      return "affine_group";
    case Layout::kFloat8Block:
      return "float8_block";
  }
  return "unknown";
}

}  // namespace nibble
