// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/block_activations.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/block_activations.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/code_pairs-inl.h"

// Shared by all targets, so outside their namespaces and defined once.
#ifndef NIBBLE_CPU_BLOCK_ACTIVATIONS_LANES_
#define NIBBLE_CPU_BLOCK_ACTIVATIONS_LANES_
namespace nibble::cpu {
constexpr int64_t kWordsScaleLanes = 8;  // sums of a group in AVX-512
}  // namespace nibble::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

int64_t GroupOfCodes() { return 0; }
void QuantizeToken(const float*, int64_t, const BlockForm&, int64_t, int64_t, int16_t*, float*,
                   float*) {}

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

using Words = hn::Repartition<int16_t, CodeBytes>;

// A group of x times `inverse`, rounded, in four vectors.
struct RoundedGroup {
  HWY_INLINE RoundedGroup(const float* HWY_RESTRICT x, float scale) {
    const hn::Repartition<float, CodeBytes> d;
    const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
    const auto inverse = hn::Set(d, scale > 0.0f ? 1.0f / scale : 0.0f);
    const auto rounded = [&](int64_t i) HWY_ATTR {  // elements [i * lanes, (i + 1) * lanes)
      return hn::NearestInt(hn::Mul(hn::LoadU(d, x + i * lanes), inverse));
    };
    const auto halves = [&](int64_t i) HWY_ATTR {
      const hn::Half<Words> half;
      return hn::Combine(Words(), hn::DemoteTo(half, rounded(2 * i + 1)),
                         hn::DemoteTo(half, rounded(2 * i)));
    };
    c0 = halves(0), c1 = halves(1), c2 = halves(2), c3 = halves(3);
  }

  hn::Vec<Words> c0, c1, c2, c3;
};

// The sum of all codes of two vectors.
HWY_INLINE float sum_of(hn::Vec<Words> a, hn::Vec<Words> b) {
  const hn::RepartitionToWide<Words> d32;
  const auto ones = hn::Set(Words(), int16_t{1});
  auto rest = hn::Zero(d32);
  auto sum = hn::ReorderWidenMulAccumulate(d32, a, ones, hn::Zero(d32), rest);
  sum = hn::ReorderWidenMulAccumulate(d32, b, ones, sum, rest);
  return static_cast<float>(hn::GetLane(hn::SumOfLanes(d32, hn::Add(sum, rest))));
}

// Group g of a token, the `at`-th of a part of `tokens`, and where it goes.
struct GroupPlace {
  int64_t g, groups, at, tokens;
};

HWY_INLINE void store_words(const RoundedGroup& c, const GroupPlace& place, bool odd_first,
                            float scale, int16_t* HWY_RESTRICT codes, float* HWY_RESTRICT scales) {
  const Words d16;
  const int64_t group = GroupOfCodes(), quarter = group / 4, within = place.g % 2;
  const int64_t width = place.g + 1 < place.groups || within != 0 ? 2 : 1;  // groups side by side
  const int64_t first = (place.g - within) * place.tokens + place.at * width;
  if (place.tokens == 1) {
    scales[place.g] = scale;
  } else {
    std::fill_n(scales + (first + within) * kWordsScaleLanes, kWordsScaleLanes, scale);
  }
  const auto even0 = hn::ConcatEven(d16, c.c1, c.c0), even1 = hn::ConcatEven(d16, c.c3, c.c2);
  const auto odd0 = hn::ConcatOdd(d16, c.c1, c.c0), odd1 = hn::ConcatOdd(d16, c.c3, c.c2);
  int16_t* to = codes + first * group + within * quarter;
  const int64_t stride = width * quarter, swap = odd_first ? stride : 0;
  hn::StoreU(hn::ConcatEven(d16, even1, even0), d16, to + swap);
  hn::StoreU(hn::ConcatEven(d16, odd1, odd0), d16, to + stride - swap);
  hn::StoreU(hn::ConcatOdd(d16, even1, even0), d16, to + 2 * stride + swap);
  hn::StoreU(hn::ConcatOdd(d16, odd1, odd0), d16, to + 3 * stride - swap);
}

HWY_INLINE void store_in_order(const RoundedGroup& c, BlockOrder order, bool odd_first,
                               int16_t* HWY_RESTRICT codes) {
  const Words d16;
  const int64_t half = GroupOfCodes() / 2, step = half / 2;
  if (order == BlockOrder::kColumns) {
    hn::Store(c.c0, d16, codes);
    hn::Store(c.c1, d16, codes + step);
    hn::Store(c.c2, d16, codes + 2 * step);
    hn::Store(c.c3, d16, codes + 3 * step);
    return;
  }
  // A byte of codes holds an even element and an odd one.
  if (order == BlockOrder::kHalves) {
    int16_t* even = codes + (odd_first ? half : 0);
    int16_t* odd = codes + (odd_first ? 0 : half);
    hn::Store(hn::ConcatEven(d16, c.c1, c.c0), d16, even);
    hn::Store(hn::ConcatEven(d16, c.c3, c.c2), d16, even + step);
    hn::Store(hn::ConcatOdd(d16, c.c1, c.c0), d16, odd);
    hn::Store(hn::ConcatOdd(d16, c.c3, c.c2), d16, odd + step);
    return;
  }
  store_as_looked_up(d16, hn::ConcatEven(d16, c.c1, c.c0), hn::ConcatEven(d16, c.c3, c.c2),
                     codes + (odd_first ? half : 0));
  store_as_looked_up(d16, hn::ConcatOdd(d16, c.c1, c.c0), hn::ConcatOdd(d16, c.c3, c.c2),
                     codes + (odd_first ? 0 : half));
}

// One token. `codes` and `scales` are the part's in kWords, else the token's.
void QuantizeToken(const float* HWY_RESTRICT x, int64_t cols, const BlockForm& form, int64_t at,
                   int64_t tokens, int16_t* HWY_RESTRICT codes, float* HWY_RESTRICT scales,
                   float* HWY_RESTRICT sums) {
  const int64_t group = GroupOfCodes(), groups = cols / group;
  const int64_t sharing = std::max<int64_t>(1, form.limits.columns / group);
  if (sums) std::fill_n(sums, cols / form.sum_columns, 0.0f);
  float scale = 0.0f;
  for (int64_t g = 0; g < groups; ++g) {
    const float* from = x + g * group;
    if (g % sharing == 0) {
      scale = scale_of(from, std::min(sharing, groups - g) * group, form.limits);
    }
    const RoundedGroup c(from, scale);
    if (form.order == BlockOrder::kWords) {
      store_words(c, {g, groups, at, tokens}, form.odd_first, scale, codes, scales);
    } else {
      store_in_order(c, form.order, form.odd_first, codes + g * group);
      scales[g] = scale;
    }
    if (!sums) continue;
    sums[g * group / form.sum_columns] += sum_of(c.c0, c.c1) * scale;
    sums[(g * group + group / 2) / form.sum_columns] += sum_of(c.c2, c.c3) * scale;
  }
}

#endif

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(GroupOfCodes);
HWY_EXPORT(QuantizeToken);

int64_t code_group() { return HWY_DYNAMIC_DISPATCH(GroupOfCodes)(); }

BlockActivations quantize_blocks(ThreadPool& pool, BufferCache& buffers, const float* x,
                                 int64_t tokens, int64_t cols, const BlockForm& form) {
  const int64_t groups = cols / code_group();
  const int64_t sums = form.sum_columns > 0 ? cols / form.sum_columns : 0;
  const bool in_parts = form.order == BlockOrder::kWords;
  BlockActivations out;
  out.tokens = tokens;
  out.cols = cols;
  out.sum_columns = form.sum_columns;
  out.order = form.order;
  if (in_parts) out.scale_lanes = kWordsScaleLanes;
  out.codes = buffers.array<int16_t>(tokens * cols);
  out.scales = buffers.array<float>(tokens * groups * out.scale_lanes);
  if (sums > 0) out.sums = buffers.array<float>(tokens * sums);
  const auto quantize = [&](int64_t t) {
    int64_t first = t, part = 1;  // the part that holds t
    if (in_parts) {
      first = 0;
      part = tokens_of_part(tokens, kWordsPart);
      while (t >= first + part) part = tokens_of_part(tokens - (first += part), kWordsPart);
    }
    HWY_DYNAMIC_DISPATCH(QuantizeToken)(x + t * cols, cols, form, t - first, part,
                                        out.codes.get() + first * cols,
                                        out.scales.get() + first * groups * out.scale_lanes,
                                        sums > 0 ? out.sums.get() + t * sums : nullptr);
  };
  // Elements per task: a few microseconds of work, well above the cost of handing it out.
  constexpr int64_t kGrain = 16 << 10;
  pool.parallel_for(tokens, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cols)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t t = begin; t < end; ++t) quantize(t);
                    });
  return out;
}
}  // namespace nibble::cpu
#endif
