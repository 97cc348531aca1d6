// SPDX-License-Identifier: Apache-2.0
//
// Few tokens times rows of 4-bit codes, decoded in registers. A group is one vector of bytes, 64
// (or 32) elements; x is permuted once per call into the order in which the lookup yields them,
// and each block's partial sum is scaled by its absmax.
#include <algorithm>
#include <vector>

#include "nibble/backend/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/dot_code_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/codebook-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// No byte shuffles: every shape goes through dot_decoded_rows.
int64_t CodeGroup() { return 0; }
void PermuteForCodeRows(const float*, int64_t, int64_t, float*) {}
void DotCodeRows(const WeightView&, const LinearArgs&, RowRange) {}

#else

// At most 32 bytes: a group of 128 elements would shut out widths like 576.
using Bytes = hn::CappedTag<uint8_t, 32>;
using Floats = hn::Repartition<float, Bytes>;

int64_t CodeGroup() { return 2 * static_cast<int64_t>(hn::Lanes(Bytes())); }

// The floats of a group in order: high nibbles (even elements) as vectors 0..3, then low nibbles;
// lane l of 16-byte block b of vector j is byte 16b + 4j + l.
void PermuteForCodeRows(const float* x, int64_t tokens, int64_t cols, float* permuted) {
  const int64_t group = CodeGroup(), blocks = group / 32;
  for (int64_t base = 0; base < tokens * cols; base += group) {
    float* out = permuted + base;
    for (int64_t nibble = 0; nibble < 2; ++nibble) {
      for (int64_t j = 0; j < 4; ++j) {
        for (int64_t b = 0; b < blocks; ++b) {
          for (int64_t l = 0; l < 4; ++l) *out++ = x[base + 2 * (16 * b + 4 * j + l) + nibble];
        }
      }
    }
  }
}

// sum += values . x over one half group, for kTokens tokens that lie `stride` apart.
template <int kTokens, class V>
HWY_INLINE void accumulate(const typename Codebook<Bytes>::Values& values,
                           const float* HWY_RESTRICT x, int64_t stride, V* sum0, V* sum1) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) {
    const float* from = x + t * stride;
    sum0[t] = hn::MulAdd(values.v0, hn::Load(d, from), sum0[t]);
    sum1[t] = hn::MulAdd(values.v1, hn::Load(d, from + lanes), sum1[t]);
    sum0[t] = hn::MulAdd(values.v2, hn::Load(d, from + 2 * lanes), sum0[t]);
    sum1[t] = hn::MulAdd(values.v3, hn::Load(d, from + 3 * lanes), sum1[t]);
  }
}

// kHalfBlocks: one block per 16 bytes of codes, two in a group of 64.
template <int kTokens, bool kHalfBlocks>
HWY_INLINE void dot_row(const Codebook<Bytes>& codebook, const CodeBlockView& block,
                        const uint8_t* HWY_RESTRICT codes, const float* HWY_RESTRICT absmax,
                        int64_t element, const float* HWY_RESTRICT x, int64_t cols,
                        float* HWY_RESTRICT sums) {
  const Bytes d8;
  const Floats d;
  const int64_t bytes = static_cast<int64_t>(hn::Lanes(d8)), group = 2 * bytes;
  const auto low_nibble = hn::Set(d8, uint8_t{0x0f});
  hn::Vec<Floats> total[kTokens];
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) total[t] = hn::Zero(d);

  const int64_t end = element + cols;
  int64_t block_end = kHalfBlocks ? element : (element / block.block_size + 1) * block.block_size;
  while (element < end) {
    hn::Vec<Floats> sum0[kTokens], sum1[kTokens];
    HWY_UNROLL(4)
    for (int t = 0; t < kTokens; ++t) sum0[t] = sum1[t] = hn::Zero(d);
    const int64_t stop = kHalfBlocks ? element + group : HWY_MIN(block_end, end);
    for (; element < stop; element += group) {
      const auto packed = hn::LoadU(d8, codes);
      codes += bytes;
      accumulate<kTokens>(codebook.lookup(hn::ShiftRight<4>(packed)), x, cols, sum0, sum1);
      accumulate<kTokens>(codebook.lookup(hn::And(packed, low_nibble)), x + bytes, cols, sum0,
                          sum1);
      x += group;
    }
    auto scale = hn::Set(d, absmax[0]);
    if constexpr (kHalfBlocks) {
      scale = hn::IfThenElse(hn::FirstN(d, hn::Lanes(d) / 2), scale, hn::Set(d, absmax[1]));
      absmax += 2;
    } else {
      block_end += block.block_size;
      ++absmax;
    }
    HWY_UNROLL(4)
    for (int t = 0; t < kTokens; ++t) {
      total[t] = hn::MulAdd(scale, hn::Add(sum0[t], sum1[t]), total[t]);
    }
  }
  HWY_UNROLL(4)
  for (int t = 0; t < kTokens; ++t) sums[t] = hn::GetLane(hn::SumOfLanes(d, total[t]));
}

template <bool kHalfBlocks>
void dot_rows_of(const WeightView& weight, const LinearArgs& args, RowRange range) {
  const CodeBlockView& block = weight.block;
  const Codebook<Bytes> codebook(block.codebook);
  const int64_t cols = weight.cols;
  if (range.begin >= range.end) return;
  const int64_t first = range.begin * cols / block.block_size;
  const int64_t last = (range.end * cols - 1) / block.block_size;
  std::vector<float> scratch;
  const float* all_absmax = absmax_of(block, first, last - first + 1, scratch);
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t element = row * cols;
    const float* absmax = all_absmax + (element / block.block_size - first);
    const uint8_t* codes = block.codes + element / 2;
    const float bias = args.bias ? args.bias[row] : 0.0f;
    float sums[4];
    int64_t t = 0;
    const auto store = [&](int count) {
      for (int i = 0; i < count; ++i) args.y[(t + i) * weight.rows + row] = sums[i] + bias;
      t += count;
    };
    while (t + 4 <= args.tokens) {
      dot_row<4, kHalfBlocks>(codebook, block, codes, absmax, element, args.x + t * cols, cols,
                              sums);
      store(4);
    }
    if (t + 2 <= args.tokens) {
      dot_row<2, kHalfBlocks>(codebook, block, codes, absmax, element, args.x + t * cols, cols,
                              sums);
      store(2);
    }
    if (t < args.tokens) {
      dot_row<1, kHalfBlocks>(codebook, block, codes, absmax, element, args.x + t * cols, cols,
                              sums);
      store(1);
    }
  }
}

void DotCodeRows(const WeightView& weight, const LinearArgs& args, RowRange range) {
  if (weight.block.block_size < CodeGroup()) return dot_rows_of<true>(weight, args, range);
  dot_rows_of<false>(weight, args, range);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(CodeGroup);
HWY_EXPORT(PermuteForCodeRows);
HWY_EXPORT(DotCodeRows);

bool can_dot_code_rows(const WeightView& weight) {
  const int64_t group = HWY_DYNAMIC_DISPATCH(CodeGroup)();
  if (group == 0 || weight.cols == 0 || weight.cols % group != 0) return false;
  // Groups begin at multiples of `group`, so a block that is a multiple of it never ends inside
  // one, wherever rows begin.
  return weight.block.block_size % group == 0 || weight.block.block_size * 2 == group;
}

void permute_for_code_rows(const float* x, int64_t tokens, int64_t cols, float* permuted) {
  HWY_DYNAMIC_DISPATCH(PermuteForCodeRows)(x, tokens, cols, permuted);
}

void dot_code_rows(const WeightView& weight, const LinearArgs& args, RowRange range) {
  HWY_DYNAMIC_DISPATCH(DotCodeRows)(weight, args, range);
}
}  // namespace nibble::cpu
#endif
