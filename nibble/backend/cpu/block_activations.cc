// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/block_activations.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/block_activations.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/code_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

int64_t GroupOfCodes() { return 0; }
void QuantizeBlocks(const float*, int64_t, BlockLimits, BlockOrder, int16_t*, float*) {}

#else

int64_t GroupOfCodes() { return 2 * static_cast<int64_t>(hn::Lanes(CodeBytes())); }

// The scale of `count` floats, which are whole vectors.
HWY_INLINE float scale_of(const float* HWY_RESTRICT x, int64_t count, BlockLimits limits) {
  const hn::Repartition<float, CodeBytes> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto largest = hn::Zero(d), total = hn::Zero(d);
  // x - x is 0, or NaN for infinity and NaN, which a sum keeps and a maximum may lose.
  auto residue = hn::Zero(d);
  for (int64_t i = 0; i < count; i += lanes) {
    const auto value = hn::LoadU(d, x + i);
    const auto magnitude = hn::Abs(value);
    largest = hn::Max(largest, magnitude);
    total = hn::Add(total, magnitude);
    residue = hn::Add(residue, hn::Sub(value, value));
  }
  const float absmax = hn::GetLane(hn::MaxOfLanes(d, largest));
  if (!hn::AllTrue(d, hn::Eq(residue, hn::Zero(d)))) return std::numeric_limits<float>::quiet_NaN();
  constexpr float kSmallest = 0x1p-100f;  // its inverse times 2^15 is still finite
  if (absmax < kSmallest) return 0.0f;
  const float scale = absmax / static_cast<float>(limits.magnitude);
  if (limits.sum == 0) return scale;
  // Each code may be rounded up by a half; one more for the rounding of the sum and the scale.
  const int64_t room = limits.sum - count / 2 - 1;
  const float sum = hn::GetLane(hn::SumOfLanes(d, total));
  // Where the sum overflows, so that it bounds nothing, all magnitudes are as large as the largest.
  return std::max(scale, std::min(sum / static_cast<float>(room),
                                  absmax * (static_cast<float>(count) / static_cast<float>(room))));
}

// One token: codes [cols] and scales [cols / group].
void QuantizeBlocks(const float* HWY_RESTRICT x, int64_t cols, BlockLimits limits, BlockOrder order,
                    int16_t* HWY_RESTRICT codes, float* HWY_RESTRICT scales) {
  const hn::Repartition<int16_t, CodeBytes> d16;
  const hn::Repartition<float, CodeBytes> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), group = GroupOfCodes();
  for (int64_t g = 0; g < cols / group; ++g, x += group, codes += group) {
    scales[g] = scale_of(x, group, limits);
    const auto inverse = hn::Set(d, scales[g] > 0.0f ? 1.0f / scales[g] : 0.0f);
    const auto rounded = [&](int64_t i) {  // elements [i * lanes, (i + 1) * lanes)
      return hn::NearestInt(hn::Mul(hn::LoadU(d, x + i * lanes), inverse));
    };
    const auto halves = [&](int64_t i) {
      const hn::Half<decltype(d16)> half;
      return hn::Combine(d16, hn::DemoteTo(half, rounded(2 * i + 1)),
                         hn::DemoteTo(half, rounded(2 * i)));
    };
    const auto c0 = halves(0), c1 = halves(1), c2 = halves(2), c3 = halves(3);
    if (order == BlockOrder::kWords) {
      const auto even0 = hn::ConcatEven(d16, c1, c0), even1 = hn::ConcatEven(d16, c3, c2);
      const auto odd0 = hn::ConcatOdd(d16, c1, c0), odd1 = hn::ConcatOdd(d16, c3, c2);
      const int64_t quarter = group / 4;
      const bool second = g % 2 != 0, paired = second || g + 1 < cols / group;
      const int64_t stride = paired ? 2 * quarter : quarter;
      int16_t* to = second ? codes - group + quarter : codes;
      hn::StoreU(hn::ConcatEven(d16, even1, even0), d16, to);
      hn::StoreU(hn::ConcatEven(d16, odd1, odd0), d16, to + stride);
      hn::StoreU(hn::ConcatOdd(d16, even1, even0), d16, to + 2 * stride);
      hn::StoreU(hn::ConcatOdd(d16, odd1, odd0), d16, to + 3 * stride);
      continue;
    }
    if (order == BlockOrder::kColumns) {
      const size_t step = hn::Lanes(d16);
      hn::Store(c0, d16, codes);
      hn::Store(c1, d16, codes + step);
      hn::Store(c2, d16, codes + 2 * step);
      hn::Store(c3, d16, codes + 3 * step);
      continue;
    }
    // A byte of codes holds an even element in its high nibble and an odd one in its low nibble.
    store_as_looked_up(d16, hn::ConcatEven(d16, c1, c0), hn::ConcatEven(d16, c3, c2), codes);
    store_as_looked_up(d16, hn::ConcatOdd(d16, c1, c0), hn::ConcatOdd(d16, c3, c2),
                       codes + group / 2);
  }
}

#endif

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(GroupOfCodes);
HWY_EXPORT(QuantizeBlocks);

int64_t code_group() { return HWY_DYNAMIC_DISPATCH(GroupOfCodes)(); }

BlockActivations quantize_blocks(ThreadPool& pool, BufferCache& buffers, const float* x,
                                 int64_t tokens, int64_t cols, BlockLimits limits,
                                 BlockOrder order) {
  const int64_t groups = cols / code_group();
  BlockActivations out{.tokens = tokens,
                       .cols = cols,
                       .codes = buffers.array<int16_t>(tokens * cols),
                       .scales = buffers.array<float>(tokens * groups)};
  // Elements per task: a few microseconds of work, well above the cost of handing it out.
  constexpr int64_t kGrain = 16 << 10;
  pool.parallel_for(tokens, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cols)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t t = begin; t < end; ++t) {
                        HWY_DYNAMIC_DISPATCH(QuantizeBlocks)
                        (x + t * cols, cols, limits, order, out.codes.get() + t * cols,
                         out.scales.get() + t * groups);
                      }
                    });
  return out;
}
}  // namespace nibble::cpu
#endif
