// SPDX-License-Identifier: Apache-2.0
//
// A Weight as the kernels see it: raw pointers and numbers, no ownership, valid while the Weight
// lives. Cheap enough (tens of nanoseconds) to be made on every call.
#pragma once

#include <cstdint>

#include "nibble/format/weight.h"

namespace nibble::cpu {

// 4-bit codes in blocks of the flattened matrix: those of code_block, and of affine_group where its
// rows are whole groups. There the codebook is code - 8, absmax the scale, and each block of a row
// adds its offset times the sum of its x (block_scales.h).
struct CodeBlockView {
  const uint8_t* codes = nullptr;   // two per byte; null: not in this form
  bool low_nibble_first = false;    // which of a byte's elements comes first
  const float* codebook = nullptr;  // [16]
  float largest = 0.0f;             // magnitude in the codebook; infinite when one is not finite
  bool values_are_whole = false;    // those of the codebook, up to 8
  int64_t block_size = 0;
  DType scale_dtype = DType::kF32;  // of absmax and zeros: float32, float16 or bfloat16
  const void* absmax = nullptr;     // [blocks]; null when nested
  // The nested absmax: absmax[i] = nested_codebook[nested_codes[i]] * nested_absmax[i /
  // nested_block_size] + nested_offset, rounded after each operation.
  const uint8_t* nested_codes = nullptr;
  const float* nested_absmax = nullptr;
  const float* nested_codebook = nullptr;  // [256]
  int64_t nested_block_size = 0;
  float nested_offset = 0.0f;

  const void* zeros = nullptr;  // [blocks], affine_group only; null where no block has an offset
  ZeroForm zero_form = ZeroForm::kSubtracted;
};

struct WeightView {
  Layout layout = Layout::kDense;
  DType dtype = DType::kF32;  // of dense elements and float8 codes
  int64_t rows = 0, cols = 0;
  const void* elements = nullptr;     // [rows, cols] dense elements or int8 codes
  const float* row_absmax = nullptr;  // [rows], int8_row only
  CodeBlockView block;
  // affine_group only. Kernels take columns as they are stored: x of column c as that of column
  // positions[c], null where that is c.
  const AffineGroup* affine = nullptr;
  const int32_t* positions = nullptr;   // [cols]
  const Float8Block* float8 = nullptr;  // float8_block only: its codes are `elements`
  // int8_row: LLM.int8(). Others: groups of columns (format/int8_activations.h).
  bool activations_are_int8 = false;
  float llm_int8_threshold = 0.0f;
  int64_t row_bytes() const;  // streamed per row, rounded up; at least 1
};

WeightView view_of(const Weight& weight);

}  // namespace nibble::cpu
