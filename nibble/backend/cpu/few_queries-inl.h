// SPDX-License-Identifier: Apache-2.0
//
// The register tiles of attend_few.cc: scores of some keys, and the weighted sum of their values,
// for some queries, with the elements of a head across the lanes. Included once per Highway target.
#if defined(NIBBLE_CPU_FEW_QUERIES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_FEW_QUERIES_INL_H_
#undef NIBBLE_CPU_FEW_QUERIES_INL_H_
#else
#define NIBBLE_CPU_FEW_QUERIES_INL_H_
#endif

#include <hwy/highway.h>

#include "nibble/backend/cpu/attention_task.h"
#include "nibble/backend/cpu/float_load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of the register tile: four keys of four queries fill half of 32 registers, of two half
// of 16.
#if HWY_TARGET & (HWY_AVX3 | HWY_AVX3_DL | HWY_NEON)
constexpr int kMostQueries = 4;
#else
constexpr int kMostQueries = 2;
#endif
constexpr int kKeysAtOnce = 4;
// Vectors of a head that are summed at once, with all queries of a tile.
constexpr int kMostVectors = 4;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

#if HWY_TARGET != HWY_SCALAR
// The sum of the vector's blocks of 128 bits, in one block.
template <class D>
HWY_INLINE hn::Vec<hn::CappedTag<float, 4>> sum_of_blocks([[maybe_unused]] D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    return sum_of_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    return v;
  }
}
#endif

// out[i] = the sum of the lanes of v[i].
HWY_INLINE void store_four_sums([[maybe_unused]] F d, const V* v, float* out) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) out[i] = hn::GetLane(v[i]);
#else
  const hn::Repartition<uint64_t, F> d64;
  // In each block: [a0+a2, b0+b2, a1+a3, b1+b3], then [a, b, c, d].
  const auto ab = hn::BitCast(
      d64, hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1])));
  const auto cd = hn::BitCast(
      d64, hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3])));
  const auto sums = hn::Add(hn::BitCast(d, hn::InterleaveLower(d64, ab, cd)),
                            hn::BitCast(d, hn::InterleaveUpper(d64, ab, cd)));
  hn::StoreU(sum_of_blocks(d, sums), hn::CappedTag<float, 4>(), out);
#endif
}

// scores[q * kKeyChunk + k] = query[q] . keys[k]
template <int kKeys, int kQueries, class T>
HWY_INLINE void score_tile(const T* HWY_RESTRICT keys, int64_t head_dim,
                           const float* HWY_RESTRICT query, int64_t query_stride,
                           float* HWY_RESTRICT scores) {
  const F d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kQueries][kKeys];
  HWY_UNROLL(4)
  for (int q = 0; q < kQueries; ++q) {
    HWY_UNROLL(4)
    for (int k = 0; k < kKeys; ++k) sum[q][k] = hn::Zero(d);
  }
  int64_t i = 0;
  for (; i + lanes <= head_dim; i += lanes) {
    V key[kKeys];
    HWY_UNROLL(4)
    for (int k = 0; k < kKeys; ++k) key[k] = load_floats(d, keys + k * head_dim + i);
    HWY_UNROLL(4)
    for (int q = 0; q < kQueries; ++q) {
      const auto element = hn::Load(d, query + q * query_stride + i);
      HWY_UNROLL(4)
      for (int k = 0; k < kKeys; ++k) sum[q][k] = hn::MulAdd(key[k], element, sum[q][k]);
    }
  }
  if (i < head_dim) {  // of decoded rows only, behind which there is room to read
    const auto inside = hn::FirstN(d, static_cast<size_t>(head_dim - i));
    for (int k = 0; k < kKeys; ++k) {
      const auto key = hn::IfThenElseZero(inside, load_floats(d, keys + k * head_dim + i));
      for (int q = 0; q < kQueries; ++q) {
        sum[q][k] = hn::MulAdd(key, hn::Load(d, query + q * query_stride + i), sum[q][k]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int q = 0; q < kQueries; ++q) {
    float* to = scores + q * kKeyChunk;
    if constexpr (kKeys == 4) {
      store_four_sums(d, sum[q], to);
    } else {
      for (int k = 0; k < kKeys; ++k) to[k] = hn::GetLane(hn::SumOfLanes(d, sum[q][k]));
    }
  }
}

// The same for any number of keys.
template <int kQueries, class T>
HWY_INLINE void score_keys(const T* keys, int64_t count, int64_t head_dim, const float* query,
                           int64_t query_stride, float* scores) {
  int64_t k = 0;
  for (; k + kKeysAtOnce <= count; k += kKeysAtOnce) {
    score_tile<kKeysAtOnce, kQueries>(keys + k * head_dim, head_dim, query, query_stride,
                                      scores + k);
  }
  for (; k < count; ++k) {
    score_tile<1, kQueries>(keys + k * head_dim, head_dim, query, query_stride, scores + k);
  }
}

// output[q] += the sum of weights[q * kKeyChunk + k] * values[k] over all k, for some vectors of
// the head.
template <int kQueries, int kVectors, class T>
HWY_INLINE void weigh_tile(const T* HWY_RESTRICT values, int64_t count, int64_t head_dim,
                           const float* HWY_RESTRICT weights, float* HWY_RESTRICT output,
                           int64_t output_stride) {
  const F d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kQueries][kVectors];
  HWY_UNROLL(4)
  for (int q = 0; q < kQueries; ++q) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      sum[q][v] = hn::Load(d, output + q * output_stride + v * lanes);
    }
  }
  for (int64_t k = 0; k < count; ++k) {
    V value[kVectors];
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      value[v] = load_floats(d, values + k * head_dim + v * lanes);
    }
    HWY_UNROLL(4)
    for (int q = 0; q < kQueries; ++q) {
      const auto weight = hn::Set(d, weights[q * kKeyChunk + k]);
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) sum[q][v] = hn::MulAdd(weight, value[v], sum[q][v]);
    }
  }
  HWY_UNROLL(4)
  for (int q = 0; q < kQueries; ++q) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      hn::Store(sum[q][v], d, output + q * output_stride + v * lanes);
    }
  }
}

// The same for the whole head. The last vector may read past a row.
template <int kQueries, class T>
HWY_INLINE void weigh_values(const T* values, int64_t count, int64_t head_dim, const float* weights,
                             float* output, int64_t output_stride) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(F()));
  int64_t i = 0;
  for (; i + kMostVectors * lanes <= head_dim; i += kMostVectors * lanes) {
    weigh_tile<kQueries, kMostVectors>(values + i, count, head_dim, weights, output + i,
                                       output_stride);
  }
  for (; i + lanes < head_dim; i += 2 * lanes) {
    weigh_tile<kQueries, 2>(values + i, count, head_dim, weights, output + i, output_stride);
  }
  if (i < head_dim) {
    weigh_tile<kQueries, 1>(values + i, count, head_dim, weights, output + i, output_stride);
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
