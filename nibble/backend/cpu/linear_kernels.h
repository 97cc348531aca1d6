// SPDX-License-Identifier: Apache-2.0
//
// The kernels of y [tokens, rows] = x [tokens, cols] Wᵀ + bias, each over a range of weight rows so
// that the caller may split rows over threads. A row's result depends on nothing but the row, the
// token and the instruction set, never on how rows were split.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/backend/cpu/block_activations.h"
#include "nibble/backend/cpu/weight_view.h"

namespace nibble::cpu {

struct RowRange {
  int64_t begin = 0, end = 0;
};

// What all linear kernels share. `bias` may be null.
struct LinearArgs {
  const float* x = nullptr;  // [tokens, cols]
  int64_t tokens = 0;
  const float* bias = nullptr;  // [rows]
  float* y = nullptr;           // [tokens, rows]
};

// Weights are read once, in order, but hardware prefetchers stop at the end of a page: every 4 KiB
// they would wait for memory anew. So the kernels of few tokens ask for what lies some way ahead;
// how far, in bytes, was measured.
inline constexpr int64_t kDensePrefetch = 1024, kInt8Prefetch = 2048, kCodesPrefetch = 4096;

// Inlined by force: g++ takes a function that only prefetches for one without effect and drops
// calls.
[[gnu::always_inline]] inline void prefetch(const void* at, int64_t ahead) {
  __builtin_prefetch(static_cast<const char*>(at) + ahead);
}

// Few tokens: decode and dot fused, one pass over the weight. ----------------------------------

// Dense rows, and int8_row (activations stay float) of any shape. `parts` [tokens * cols] is x by
// dot_pack; one token's is x as it is.
void dot_pack(const float* x, int64_t tokens, int64_t cols, float* packed);
void dot_rows(const WeightView& weight, const LinearArgs& args, const float* parts, RowRange range);

// dot_pack's order of int16 codes, of tokens that lie `stride` apart.
void pack_codes(const int16_t* codes, int64_t stride, int64_t tokens, int64_t cols,
                int16_t* packed);

// int8_row (activations stay float) when can_dot_int8_rows(weight), with x in int16; args.x is not
// read. `parts` [tokens * cols] is x by pack_codes; one token's is x.codes as they are.
bool can_dot_int8_rows(const WeightView& weight);
BlockActivations quantize_for_int8_rows(ThreadPool& pool, BufferCache& buffers,
                                        const LinearArgs& args, int64_t cols);
void dot_int8_rows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                   const int16_t* parts, RowRange range);

// 4-bit codes (CodeBlockView) when can_dot_code_rows(weight), with x in int16; args.x is not read.
bool can_dot_code_rows(const WeightView& weight);
BlockActivations quantize_for_code_rows(ThreadPool& pool, BufferCache& buffers,
                                        const WeightView& weight, const LinearArgs& args);
void dot_code_rows(const WeightView& weight, const BlockActivations& x, const LinearArgs& args,
                   RowRange range);

// 8-bit floats when can_dot_float8_rows(weight).
bool can_dot_float8_rows(const WeightView& weight);
void dot_float8_rows(const WeightView& weight, const LinearArgs& args, const float* parts,
                     RowRange range);

// Every other shape: decode one row into cache, then dot.
void dot_decoded_rows(const WeightView& weight, const LinearArgs& args, const float* parts,
                      RowRange range);

// Decoding. ------------------------------------------------------------------------------------

struct DecodeScratch {
  std::vector<float> absmax, zeros;
};

// Stored columns [col, col + count) of a row as floats, equal to Weight::decode_row.
void decode_columns(const WeightView& weight, int64_t row, int64_t col, int64_t count, float* out,
                    DecodeScratch& scratch);

// What x may reach with this weight, in its own mode or with int8 activations.
inline BlockLimits limits_of(const WeightView& weight, BlockLimits own) {
  return weight.activations_are_int8 ? kInt8Limits : own;
}

// The codes of a kernel's int16 table: the largest limit at which those of affine_group are whole.
inline int32_t value_limit(const CodeBlockView& block, int32_t limit) {
  return block.values_are_whole ? limit - limit % 8 : limit;
}

// Many tokens: decode a panel of rows into cache and multiply it by all tokens. -------------------

// Tokens are packed in groups of gemm_group(), two vectors, so that vectors hold neighbouring
// tokens.
int64_t gemm_group();

// Packs token groups [begin, end) of x into `packed` [groups, cols, group], zero padded.
void gemm_pack(const float* x, int64_t tokens, int64_t cols, int64_t begin, int64_t end,
               float* packed);

// Rows of `range` times tokens [token_begin, token_end); token_begin is a multiple of the group.
void gemm_rows(const WeightView& weight, const LinearArgs& args, const float* packed,
               RowRange range, int64_t token_begin, int64_t token_end);

// The same in int16, for 4-bit codes and int8_row (activations stay float) when
// can_multiply_blocks(weight).
bool can_multiply_blocks(const WeightView& weight);
BlockActivations quantize_for_block_gemm(ThreadPool& pool, BufferCache& buffers,
                                         const WeightView& weight, const LinearArgs& args);

struct PackedBlocks {
  const int16_t* codes = nullptr;  // [token groups, cols / 2, gemm_group(), 2]
  const float* scales = nullptr;   // [token groups, cols / code_group(), gemm_group()]
  const float* sums = nullptr;     // [token groups, cols / block_size, gemm_group()]; null: none
};
void block_gemm_pack(const BlockActivations& x, int64_t begin, int64_t end, int16_t* codes,
                     float* scales, float* sums);
void block_gemm_rows(const WeightView& weight, const PackedBlocks& x, const LinearArgs& args,
                     RowRange range, int64_t token_begin, int64_t token_end);

}  // namespace nibble::cpu
