// SPDX-License-Identifier: Apache-2.0
//
// What the packings of the layout AffineGroup share: codes one a byte, which every order of bits
// can be written from, matrices of a file turned to rows of outputs, and integer zeros. Integer
// codes go through as they are: nothing here looks at the numbers that they stand for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/quant/module_reader.h"

namespace nibble {

// All of these use the threads of a pool that they are given.

// [rows, cols] uint8, a code a byte, in the order of stored columns; and back.
Tensor unpack_code_matrix(const Tensor& codes, int64_t cols, int64_t bits,
                          ThreadPool* pool = nullptr);
Tensor pack_code_matrix(const Tensor& matrix, int64_t bits, ThreadPool* pool = nullptr);

// Rows of codes with their columns moved from the order of the matrix to that of `positions`
// (AffineGroup), or back.
enum class ColumnOrder : uint8_t { kStored, kOriginal };
Tensor with_columns_in(ColumnOrder order, const Tensor& codes, const Tensor& positions,
                       int64_t bits, ThreadPool* pool = nullptr);

// [rows, cols] to [cols, rows], of any dtype.
Tensor transposed(const Tensor& matrix, ThreadPool* pool = nullptr);

// Float32 values of zeros that are codes, and of a matrix of codes.
Tensor floats_of_codes(const Tensor& codes);

// Codes of 8 bits from 0 up as signed ones, or back: each 128 less or more. `dtype`: of the result.
Tensor with_sign_bits_flipped(const Tensor& codes, DType dtype);

// The same weight, where its groups have signed codes with these and their zeros 128 more.
Weight with_unsigned_codes(const Weight& weight);

// The zeros [rows, groups] as uint8 codes; nothing where one is not a code of weight.bits. Zeros
// that are added are codes when they are what -scale * zero rounds to in scale_dtype.
std::optional<Tensor> zero_codes(const AffineGroup& weight);

// A tensor of float16, bfloat16 or float32, all finite, as float32; its dtype goes to `stored`.
Tensor read_scales(const ModuleReader& reader, std::string_view suffix, const Shape& shape,
                   DType& stored);

// Throws Error with the tensor and "cannot store this weight as WHAT" unless the weight has the
// layout with a row of scales per row, and `bits` where these are given.
const AffineGroup& require_groups(const Weight& weight, const std::string& tensor,
                                  std::string_view what, std::optional<int64_t> bits);

// The same where a file cannot say that columns are stored in another order (act-order).
void require_columns_in_order(const AffineGroup& packed, const std::string& tensor,
                              std::string_view what);

// The same unless its groups are those of the config, by which readers would take them.
void require_group_size(const AffineGroup& packed, int64_t group_size, const std::string& tensor,
                        std::string_view what);

// The Error that says so, for the caller to complete.
Error cannot_store(const std::string& tensor, std::string_view what);

// What a group size of a config, in which -1 stands for a whole row, means for a matrix.
int64_t resolved_group_size(int64_t group_size, int64_t cols);

}  // namespace nibble
