// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/linear.h"

#include <algorithm>
#include <vector>

#include "nibble/backend/cpu/linear_split.h"
#include "nibble/backend/cpu/llm_int8.h"

namespace nibble::cpu {
namespace {

using Jobs = std::span<const LinearJob>;

// In which form a kernel reads x. Weights that take one form share it.
enum class Form : uint8_t {
  kFloats,   // few tokens: as they are, or side by side
  kCodes,    // few tokens: int16, in the order of 4-bit codes
  kInt8,     // few tokens: int16, by blocks
  kPacked,   // many tokens: in groups
  kBlocks,   // many tokens: int16 by blocks, in groups
  kLlmInt8,  // int8 and outliers
};

std::span<const int32_t> positions_of(const AffineGroup& weight) {
  if (!weight.positions.defined()) return {};
  return weight.positions.data<int32_t>();
}

// Weights with the same input usually have been put in the same order.
bool same_positions(const AffineGroup& a, const AffineGroup& b) {
  return std::ranges::equal(positions_of(a), positions_of(b));
}

Form form_of(const WeightView& weight, int64_t tokens) {
  if (weight.layout == Layout::kInt8Row && weight.activations_are_int8) return Form::kLlmInt8;
  if (tokens > few_tokens()) return can_multiply_blocks(weight) ? Form::kBlocks : Form::kPacked;
  if (can_dot_int8_rows(weight)) return Form::kInt8;
  return can_dot_code_rows(weight) ? Form::kCodes : Form::kFloats;
}

bool share_x(const WeightView& a, const WeightView& b, int64_t tokens) {
  const bool same_sums = !a.block.zeros == !b.block.zeros &&
                         (!a.block.zeros || a.block.block_size == b.block.block_size);
  return a.layout == b.layout && a.activations_are_int8 == b.activations_are_int8 &&
         a.llm_int8_threshold == b.llm_int8_threshold && form_of(a, tokens) == form_of(b, tokens) &&
         same_sums && !a.affine == !b.affine && (!a.affine || same_positions(*a.affine, *b.affine));
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

void multiply_floats(ThreadPool& pool, BufferCache& buffers, Jobs jobs) {
  const LinearArgs& args = jobs.front().args;
  const int64_t cols = jobs.front().weight.cols;
  CachedArray<float> packed;
  if (args.tokens > 1) {
    packed = buffers.array<float>(args.tokens * cols);
    dot_pack(args.x, args.tokens, cols, packed.get());
  }
  const float* parts = args.tokens > 1 ? packed.get() : args.x;
  for_row_ranges(pool, jobs, [&](const LinearJob& job, RowRange range) {
    if (can_dot_float8_rows(job.weight)) return dot_float8_rows(job.weight, job.args, parts, range);
    if (job.weight.layout != Layout::kDense && job.weight.layout != Layout::kInt8Row) {
      return dot_decoded_rows(job.weight, job.args, parts, range);
    }
    dot_rows(job.weight, job.args, parts, range);
  });
}

void multiply_codes(ThreadPool& pool, BufferCache& buffers, Jobs jobs) {
  const BlockActivations x =
      quantize_for_code_rows(pool, buffers, jobs.front().weight, jobs.front().args);
  for_row_ranges(pool, jobs, [&](const LinearJob& job, RowRange range) {
    dot_code_rows(job.weight, x, job.args, range);
  });
}

void multiply_int8_rows(ThreadPool& pool, BufferCache& buffers, Jobs jobs) {
  const LinearArgs& args = jobs.front().args;
  const int64_t cols = jobs.front().weight.cols;
  const BlockActivations x = quantize_for_int8_rows(pool, buffers, args, cols);
  CachedArray<int16_t> packed;
  if (args.tokens > 1) {
    packed = buffers.array<int16_t>(args.tokens * cols);
    pack_codes(x.codes.get(), cols, args.tokens, cols, packed.get());
  }
  const int16_t* parts = args.tokens > 1 ? packed.get() : x.codes.get();
  for_row_ranges(pool, jobs, [&](const LinearJob& job, RowRange range) {
    dot_int8_rows(job.weight, x, job.args, parts, range);
  });
}

void multiply_packed(ThreadPool& pool, BufferCache& buffers, Jobs jobs) {
  const LinearArgs& args = jobs.front().args;
  const auto packed = pack(pool, buffers, args.x, args.tokens, jobs.front().weight.cols);
  for_panels(pool, jobs,
             [&](const LinearJob& job, RowRange range, int64_t token_begin, int64_t token_end) {
               gemm_rows(job.weight, job.args, packed.get(), range, token_begin, token_end);
             });
}

void multiply_blocks(ThreadPool& pool, BufferCache& buffers, Jobs jobs) {
  const LinearArgs& args = jobs.front().args;
  const int64_t cols = jobs.front().weight.cols;
  const BlockActivations x = quantize_for_block_gemm(pool, buffers, jobs.front().weight, args);
  const int64_t width = gemm_group(), groups = (args.tokens + width - 1) / width;
  const auto codes = buffers.array<int16_t>(groups * width * cols);
  const auto scales = buffers.array<float>(groups * width * (cols / code_group()));
  const int64_t blocks = x.sum_columns > 0 ? cols / x.sum_columns : 0;
  const auto sums = buffers.array<float>(groups * width * blocks);
  pool.parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    block_gemm_pack(x, begin, end, codes.get(), scales.get(), blocks > 0 ? sums.get() : nullptr);
  });
  const PackedBlocks packed{codes.get(), scales.get(), sums.get()};
  for_panels(pool, jobs,
             [&](const LinearJob& job, RowRange range, int64_t token_begin, int64_t token_end) {
               block_gemm_rows(job.weight, packed, job.args, range, token_begin, token_end);
             });
}

void multiply_llm_int8(ThreadPool& pool, BufferCache& buffers, Jobs jobs) {
  const LinearArgs& args = jobs.front().args;
  const WeightView& weight = jobs.front().weight;
  const Int8Activations x = quantize_activations(pool, buffers, args.x, args.tokens, weight.cols,
                                                 weight.llm_int8_threshold);
  if (args.tokens <= few_tokens() || weight.cols > kMaxInt8GemmCols) {
    CachedArray<int16_t> packed;
    if (args.tokens > 1) {
      packed = buffers.array<int16_t>(args.tokens * weight.cols);
      pack_codes(x.codes.get(), x.stride, x.tokens, x.cols, packed.get());
    }
    const int16_t* parts = args.tokens > 1 ? packed.get() : x.codes.get();
    return for_row_ranges(pool, jobs, [&](const LinearJob& job, RowRange range) {
      int8_dot_rows(job.weight, x, job.args, parts, range);
    });
  }
  const int64_t group = gemm_group(), groups = (args.tokens + group - 1) / group;
  const auto codes = buffers.array<int16_t>(groups * group * ((weight.cols + 1) / 2) * 2);
  pool.parallel_for(
      groups, 1, [&](int64_t begin, int64_t end) { int8_gemm_pack(x, begin, end, codes.get()); });
  const auto outliers = pack(pool, buffers, x.outliers.data(), args.tokens,
                             static_cast<int64_t>(x.outlier_columns.size()));
  const PackedInt8 packed{codes.get(), outliers.get()};
  for_panels(pool, jobs,
             [&](const LinearJob& job, RowRange range, int64_t token_begin, int64_t token_end) {
               int8_gemm_rows(job.weight, x, job.args, packed, range, token_begin, token_end);
             });
}

// x as jobs read it that do not take it as it is: in the order of stored columns (GPTQ's
// act-order), and, for kernels of floats, rounded as int8 activations are.
CachedArray<float> change_x(ThreadPool& pool, BufferCache& buffers, const LinearJob& job,
                            bool round) {
  const int64_t cols = job.weight.cols;
  const int32_t* positions = job.weight.positions;
  auto changed = buffers.array<float>(job.args.tokens * cols);
  pool.parallel_for(job.args.tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* from = job.args.x + t * cols;
      const std::span<float> to(changed.get() + t * cols, static_cast<size_t>(cols));
      for (size_t c = 0; c < to.size(); ++c) {
        to[positions ? static_cast<size_t>(positions[c]) : c] = from[c];
      }
      if (round) round_int8_activations(to, {}, to);
    }
  });
  return changed;
}

void multiply(ThreadPool& pool, BufferCache& buffers, std::span<LinearJob> jobs) {
  const WeightView& weight = jobs.front().weight;
  const Form form = form_of(weight, jobs.front().args.tokens);
  const bool floats = form == Form::kFloats || form == Form::kPacked;
  const bool round = floats && weight.activations_are_int8;
  CachedArray<float> changed;
  if (weight.positions || round) {
    changed = change_x(pool, buffers, jobs.front(), round);
    for (LinearJob& job : jobs) job.args.x = changed.get();
  }
  switch (form) {
    case Form::kFloats:
      return multiply_floats(pool, buffers, jobs);
    case Form::kCodes:
      return multiply_codes(pool, buffers, jobs);
    case Form::kInt8:
      return multiply_int8_rows(pool, buffers, jobs);
    case Form::kPacked:
      return multiply_packed(pool, buffers, jobs);
    case Form::kBlocks:
      return multiply_blocks(pool, buffers, jobs);
    case Form::kLlmInt8:
      return multiply_llm_int8(pool, buffers, jobs);
  }
}

}  // namespace

int64_t few_tokens() { return gemm_group() / 2; }

void linear(ThreadPool& pool, BufferCache& buffers, const float* x, int64_t tokens,
            std::span<const LinearOutput> outputs) {
  if (tokens == 0) return;
  std::vector<LinearJob> jobs;
  const auto finish = [&] {
    if (!jobs.empty()) multiply(pool, buffers, jobs);
    jobs.clear();
  };
  for (const LinearOutput& output : outputs) {
    const WeightView view = view_of(*output.weight);
    if (view.rows == 0) continue;
    if (!jobs.empty() && !share_x(jobs.back().weight, view, tokens)) finish();
    jobs.push_back({view, {.x = x, .tokens = tokens, .bias = output.bias, .y = output.y}});
  }
  finish();
}

void embedding(ThreadPool& pool, const Weight& table, const int32_t* ids, int64_t tokens,
               float* y) {
  const WeightView view = view_of(table);
  // About 16k elements a task: microseconds of decoding.
  const int64_t grain = std::max<int64_t>(1, (16 << 10) / std::max<int64_t>(1, view.cols));
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    DecodeScratch scratch;
    std::vector<float> stored(static_cast<size_t>(view.positions ? view.cols : 0));
    for (int64_t t = begin; t < end; ++t) {
      float* out = y + t * view.cols;
      decode_columns(view, ids[t], 0, view.cols, view.positions ? stored.data() : out, scratch);
      for (size_t c = 0; c < stored.size(); ++c) {
        out[c] = stored[static_cast<size_t>(view.positions[c])];
      }
    }
  });
}

}  // namespace nibble::cpu
