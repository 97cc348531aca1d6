// SPDX-License-Identifier: Apache-2.0
//
// The layout AffineGroup: n-bit codes with a scale and a zero for each group of consecutive stored
// columns of a row (the last group may be short): w = scale * (code - zero). One form in memory for
// GPTQ, AWQ, HQQ and group-wise int8, whatever order of bits their files have.
// The functions here are the specification; every faster path is tested equal to them.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/tensor/tensor.h"

namespace nibble {

// What `zeros` are: files hold either, and rounding keeps the two apart.
enum class ZeroForm : uint8_t {
  kSubtracted,  // w = scale * (code - zero), the zero a code or a number between codes
  kAdded,       // w = scale * code + zero, as AWQ's gemv_fast stores it
};

struct AffineGroup {
  // [rows, affine_row_bytes(cols, bits)] uint8: each row is a little-endian stream of bits, the
  // code of stored column k in bits [k * bits, (k + 1) * bits). Bits behind the last are not read.
  // Or, of 8 bits, [rows, cols] int8: codes from -128 to 127, as files have them that are mapped.
  Tensor codes;
  // [scale_rows, groups], both float32, or both narrow (weight.h). Row r of the matrix has row
  // r % scale_rows: as many as there are rows, fewer where groups lie across rows (HQQ's axis 0).
  Tensor scales, zeros;
  // [cols] int32, a permutation: the code of column c is stored column positions[c]. Undefined: c.
  // GPTQ's act-order stores columns sorted by group, so that groups are contiguous here, too.
  Tensor positions;
  int64_t bits = 4;        // 1 to 8
  int64_t group_size = 0;  // stored columns that share a scale
  ZeroForm zero_form = ZeroForm::kSubtracted;
  // That all zeros are the middle code, 2^(bits - 1), which symmetric codes have: kernels that take
  // codes minus that need not read them then (Weight::with_narrow_scales() looks).
  bool zeros_are_middle = false;
  // Of scales (and of zeros that are no codes) in files; their values are exact in it.
  DType scale_dtype = DType::kF16;
};

// cols * bits / 8, rounded up.
int64_t affine_row_bytes(int64_t cols, int64_t bits);

// One row of codes to and from its stream of bits. `row` has affine_row_bytes(codes.size(), bits)
// bytes; codes are below 2^bits. Bits behind the last code are zero.
void pack_codes(std::span<const uint8_t> codes, int64_t bits, std::span<uint8_t> row);
void unpack_codes(std::span<const uint8_t> row, int64_t bits, std::span<uint8_t> codes);

// The code nearest to w on the grid of a group: round-half-even(w / scale) + zero, clamped to the
// codes of `bits`; of a group whose scale is 0, the zero; of NaN, 0.
uint8_t encode_affine(float w, float scale, float zero, int64_t bits);

// Columns [col, col + out.size()) of a row, each operation rounded to float.
void decode_affine_group(const AffineGroup& weight, int64_t row, int64_t col, std::span<float> out);

}  // namespace nibble
