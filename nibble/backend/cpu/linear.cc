// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/linear.h"

#include <algorithm>
#include <vector>

#include "nibble/backend/cpu/llm_int8.h"

namespace nibble::cpu {
namespace {

// Bytes of weight per task of the fused kernels: small enough to balance threads, large enough
// (microseconds of memory traffic) to pay for handing it out and for restarting the prefetcher.
constexpr int64_t kMinTaskBytes = 16 << 10;
constexpr int64_t kMaxTaskBytes = 256 << 10;
constexpr int64_t kTasksPerThread = 2;

// A panel's sums (rows x tokens x 4 bytes) and its decoded tile share the L2 cache.
constexpr int64_t kPanelTokens = 512;
constexpr int64_t kPanelRows = 48;  // a multiple of the six and the four rows of the register tiles

int64_t row_grain(const WeightView& weight, int threads) {
  const int64_t bytes = weight.row_bytes();
  const int64_t share = weight.rows * bytes / (kTasksPerThread * threads);
  return std::max<int64_t>(1, std::clamp(share, kMinTaskBytes, kMaxTaskBytes) / bytes);
}

template <typename Kernel>
void for_row_ranges(ThreadPool& pool, const WeightView& weight, const Kernel& kernel) {
  pool.parallel_for(weight.rows, row_grain(weight, pool.threads()),
                    [&](int64_t begin, int64_t end) { kernel(RowRange{begin, end}); });
}

// Calls kernel(rows, token_begin, token_end) for panels that cover the product.
template <typename Kernel>
void for_panels(ThreadPool& pool, int64_t rows, int64_t tokens, const Kernel& kernel) {
  const int64_t token_panels = (tokens + kPanelTokens - 1) / kPanelTokens;
  // Narrower panels when a small matrix would not give every thread a few.
  int64_t height = kPanelRows;
  while (height > 12 && (rows + height - 1) / height * token_panels < 4 * pool.threads()) {
    height /= 2;
  }
  const int64_t row_panels = (rows + height - 1) / height;
  pool.parallel_for(row_panels * token_panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / token_panels * height, token = i % token_panels * kPanelTokens;
      kernel(RowRange{row, std::min(row + height, rows)}, token,
             std::min(token + kPanelTokens, tokens));
    }
  });
}

void linear_few(ThreadPool& pool, BufferCache& buffers, const WeightView& weight,
                const LinearArgs& args) {
  if (weight.layout == Layout::kCodeBlock && can_dot_code_rows(weight)) {
    const BlockActivations x = quantize_for_code_rows(pool, buffers, args, weight.cols);
    return for_row_ranges(pool, weight,
                          [&](RowRange range) { dot_code_rows(weight, x, args, range); });
  }
  CachedArray<float> packed;
  if (args.tokens > 1) {
    packed = buffers.array<float>(args.tokens * weight.cols);
    dot_pack(args.x, args.tokens, weight.cols, packed.get());
  }
  const float* parts = args.tokens > 1 ? packed.get() : args.x;
  const bool decode = weight.layout == Layout::kCodeBlock;
  for_row_ranges(pool, weight, [&](RowRange range) {
    if (decode) return dot_decoded_rows(weight, args, parts, range);
    dot_rows(weight, args, parts, range);
  });
}

// x [tokens, cols] in token groups, padded.
CachedArray<float> pack(ThreadPool& pool, BufferCache& buffers, const float* x, int64_t tokens,
                        int64_t cols) {
  const int64_t group = gemm_group();
  const int64_t groups = (tokens + group - 1) / group;
  auto packed = buffers.array<float>(groups * cols * group);
  pool.parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    gemm_pack(x, tokens, cols, begin, end, packed.get());
  });
  return packed;
}

void multiply_blocks(ThreadPool& pool, BufferCache& buffers, const WeightView& weight,
                     const LinearArgs& args) {
  const BlockActivations x = quantize_for_block_gemm(pool, buffers, weight, args);
  const int64_t width = gemm_group(), groups = (args.tokens + width - 1) / width;
  const auto codes = buffers.array<int16_t>(groups * width * weight.cols);
  const auto scales = buffers.array<float>(groups * width * (weight.cols / code_group()));
  pool.parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    block_gemm_pack(x, begin, end, codes.get(), scales.get());
  });
  const PackedBlocks packed{codes.get(), scales.get()};
  for_panels(pool, weight.rows, args.tokens,
             [&](RowRange range, int64_t token_begin, int64_t token_end) {
               block_gemm_rows(weight, packed, args, range, token_begin, token_end);
             });
}

void linear_many(ThreadPool& pool, BufferCache& buffers, const WeightView& weight,
                 const LinearArgs& args) {
  if (can_multiply_blocks(weight)) return multiply_blocks(pool, buffers, weight, args);
  const auto packed = pack(pool, buffers, args.x, args.tokens, weight.cols);
  for_panels(pool, weight.rows, args.tokens,
             [&](RowRange range, int64_t token_begin, int64_t token_end) {
               gemm_rows(weight, args, packed.get(), range, token_begin, token_end);
             });
}

void linear_int8(ThreadPool& pool, BufferCache& buffers, const WeightView& weight,
                 const LinearArgs& args, float threshold) {
  const Int8Activations x =
      quantize_activations(pool, buffers, args.x, args.tokens, weight.cols, threshold);
  if (args.tokens <= few_tokens() || weight.cols > kMaxInt8GemmCols) {
    CachedArray<int16_t> packed;
    if (args.tokens > 1) {
      packed = buffers.array<int16_t>(args.tokens * weight.cols);
      int8_dot_pack(x, packed.get());
    }
    const int16_t* parts = args.tokens > 1 ? packed.get() : x.codes.get();
    return for_row_ranges(pool, weight,
                          [&](RowRange range) { int8_dot_rows(weight, x, args, parts, range); });
  }
  const int64_t group = gemm_group(), groups = (args.tokens + group - 1) / group;
  const auto codes = buffers.array<int16_t>(groups * group * ((weight.cols + 1) / 2) * 2);
  pool.parallel_for(
      groups, 1, [&](int64_t begin, int64_t end) { int8_gemm_pack(x, begin, end, codes.get()); });
  const auto outliers = pack(pool, buffers, x.outliers.data(), args.tokens,
                             static_cast<int64_t>(x.outlier_columns.size()));
  const PackedInt8 packed{codes.get(), outliers.get()};
  for_panels(pool, weight.rows, args.tokens,
             [&](RowRange range, int64_t token_begin, int64_t token_end) {
               int8_gemm_rows(weight, x, args, packed, range, token_begin, token_end);
             });
}

}  // namespace

int64_t few_tokens() { return gemm_group() / 2; }

void linear(ThreadPool& pool, BufferCache& buffers, const Weight& weight, const LinearArgs& args) {
  const WeightView view = view_of(weight);
  if (args.tokens == 0 || view.rows == 0) return;
  if (view.layout == Layout::kInt8Row && weight.activation_mode() == ActivationMode::kInt8) {
    return linear_int8(pool, buffers, view, args, weight.llm_int8_threshold());
  }
  if (args.tokens <= few_tokens()) return linear_few(pool, buffers, view, args);
  linear_many(pool, buffers, view, args);
}

void embedding(ThreadPool& pool, const Weight& table, const int32_t* ids, int64_t tokens,
               float* y) {
  const WeightView view = view_of(table);
  // About 16k elements a task: microseconds of decoding.
  const int64_t grain = std::max<int64_t>(1, (16 << 10) / std::max<int64_t>(1, view.cols));
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> absmax;
    for (int64_t t = begin; t < end; ++t) {
      decode_columns(view, ids[t], 0, view.cols, y + t * view.cols, absmax);
    }
  });
}

}  // namespace nibble::cpu
