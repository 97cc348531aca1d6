// SPDX-License-Identifier: Apache-2.0
//
// Attention for a few query rows, as decoding has them, over one chunk of keys: the elements of a
// head lie across the lanes. Scores of four keys are reduced together; then softmax over the whole
// chunk, and the weighted sum of its values in registers. For a few rows keys and values are read
// straight from the cache, in its dtype; for more, blocks of them are decoded once for all.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "nibble/backend/cpu/attention_task.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nibble/backend/cpu/attend_few.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nibble/backend/cpu/cache_load-inl.h"
#include "nibble/backend/cpu/vector_math-inl.h"

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
// Keys or values decoded at a time: 64 rows of 64 floats are half of an L1 of 32 KB.
constexpr int64_t kDecodedRows = 64;

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

// Calls f(first query, std::integral_constant of the number of queries) until all had their turn.
template <typename Body>
HWY_INLINE void for_each_queries(int64_t rows, const Body& body) {
  int64_t q = 0;
  if constexpr (kMostQueries == 4) {
    for (; q + 4 <= rows; q += 4) body(q, std::integral_constant<int, 4>());
  }
  for (; q + 2 <= rows; q += 2) body(q, std::integral_constant<int, 2>());
  if (q < rows) body(q, std::integral_constant<int, 1>());
}

class Chunk {
 public:
  explicit Chunk(const AttentionTask& task)
      : task_(task),
        lanes_(static_cast<int64_t>(hn::Lanes(F()))),
        width_((task.head_dim + lanes_ - 1) / lanes_ * lanes_),
        keys_(task.key_end - task.key_begin),
        rows_(task.rows()),
        memory_(hwy::AllocateAligned<float>(static_cast<size_t>(
            rows_ * (2 * width_ + kKeyChunk + 2) + kDecodedRows * task.head_dim + lanes_))) {
    query_ = memory_.get();
    output_ = query_ + rows_ * width_;
    scores_ = output_ + rows_ * width_;
    decoded_ = scores_ + rows_ * kKeyChunk;
    maximum_ = decoded_ + kDecodedRows * task.head_dim + lanes_;
    total_ = maximum_ + rows_;
    for (int64_t row = 0; row < rows_; ++row) {
      const float* from = task.query + task.offset(task.row_begin + row);
      float* to = query_ + row * width_;
      for (int64_t i = 0; i < task.head_dim; ++i) to[i] = from[i] * task.scale;
      std::fill(to + task.head_dim, to + width_, 0.0f);
    }
    std::fill_n(output_, rows_ * width_, 0.0f);
    std::fill_n(decoded_ + kDecodedRows * task.head_dim, lanes_, 0.0f);
  }

  HWY_INLINE void run() {
    const bool whole_vectors = task_.head_dim == width_;
    const bool direct = whole_vectors && (rows_ <= kMostQueries || task_.keys.dtype == DType::kF32);
    if (!direct) return run_decoded();
    switch (task_.keys.dtype) {
      case DType::kI8:
        return run_direct<int8_t>();
      case DType::kF16:
        return run_direct<fp16>();
      default:
        return run_direct<float>();
    }
  }

 private:
  template <class T>
  HWY_INLINE void run_direct() {
    score(task_.keys.row<T>(task_.key_begin, task_.head_dim), 0, keys_);
    multiply_by_scales(task_.keys);
    softmax(task_.values.scales);
    weigh(task_.values.row<T>(task_.key_begin, task_.head_dim), 0, keys_);
    finish();
  }

  HWY_INLINE void run_decoded() {
    for (int64_t at = 0; at < keys_; at += kDecodedRows) {
      const int64_t count = std::min(kDecodedRows, keys_ - at);
      decode_rows(task_.keys, task_.key_begin + at, count, task_.head_dim, decoded_);
      score(decoded_, at, count);
    }
    softmax(nullptr);
    for (int64_t at = 0; at < keys_; at += kDecodedRows) {
      const int64_t count = std::min(kDecodedRows, keys_ - at);
      decode_rows(task_.values, task_.key_begin + at, count, task_.head_dim, decoded_);
      weigh(decoded_, at, count);
    }
    finish();
  }

  void finish() const {
    for (int64_t row = 0; row < rows_; ++row) {
      finish_row(task_, task_.row_begin + row, output_ + row * width_, 1, maximum_[row],
                 total_[row]);
    }
  }

  // Keys at `at` of the chunk and on.
  template <class T>
  HWY_INLINE void score(const T* keys, int64_t at, int64_t count) {
    for_each_queries(rows_, [&](int64_t q, auto queries) HWY_ATTR {
      score_keys<queries()>(keys, count, task_.head_dim, query_ + q * width_, width_,
                            scores_ + q * kKeyChunk + at);
    });
  }

  template <class T>
  HWY_INLINE void weigh(const T* values, int64_t at, int64_t count) {
    for_each_queries(rows_, [&](int64_t q, auto queries) HWY_ATTR {
      weigh_values<queries()>(values, count, task_.head_dim, scores_ + q * kKeyChunk + at,
                              output_ + q * width_, width_);
    });
  }

  // Codes were multiplied as they are.
  void multiply_by_scales(const HeadRows& keys) {
    if (keys.scales == nullptr) return;
    for (int64_t q = 0; q < rows_; ++q) {
      float* scores = scores_ + q * kKeyChunk;
      for (int64_t k = 0; k < keys_; ++k) scores[k] *= keys.scales[task_.key_begin + k];
    }
  }

  // Scores become weights relative to the row's maximum, times the scales of the values that are
  // to be multiplied as codes.
  HWY_INLINE void softmax(const float* value_scales) {
    const F d;
    const float hidden = -std::numeric_limits<float>::infinity();
    const int64_t padded = (keys_ + lanes_ - 1) / lanes_ * lanes_;
    for (int64_t q = 0; q < rows_; ++q) {
      const int64_t row = task_.row_begin + q;
      float* scores = scores_ + q * kKeyChunk;
      const int64_t first =
          std::clamp<int64_t>(task_.first_visible(row) - task_.key_begin, 0, keys_);
      const int64_t end = std::clamp<int64_t>(task_.position(row) + 1 - task_.key_begin, 0, keys_);
      std::fill(scores, scores + first, hidden);
      std::fill(scores + end, scores + padded, hidden);
      auto largest = hn::Set(d, kLowestScore);
      for (int64_t k = 0; k < padded; k += lanes_) {
        largest = hn::Max(largest, hn::Load(d, scores + k));
      }
      largest = hn::MaxOfLanes(d, largest);
      auto sum = hn::Zero(d);
      for (int64_t k = 0; k < padded; k += lanes_) {
        const auto weight = exp_of(d, hn::Sub(hn::Load(d, scores + k), largest));
        hn::Store(weight, d, scores + k);
        sum = hn::Add(sum, weight);
      }
      maximum_[q] = hn::GetLane(largest);
      total_[q] = hn::GetLane(hn::SumOfLanes(d, sum));
      if (value_scales == nullptr) continue;
      for (int64_t k = 0; k < keys_; ++k) scores[k] *= value_scales[task_.key_begin + k];
    }
  }

  const AttentionTask& task_;
  const int64_t lanes_, width_;  // the head's elements, rounded up to whole vectors
  const int64_t keys_, rows_;
  hwy::AlignedFreeUniquePtr<float[]> memory_;
  float *query_, *output_;   // [rows, width], the query scaled
  float* scores_;            // [rows, kKeyChunk]
  float* decoded_;           // [kDecodedRows, head_dim] and a vector of zeros
  float *maximum_, *total_;  // [rows]
};

void AttendFew(const AttentionTask& task) { Chunk(task).run(); }

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nibble::cpu {
HWY_EXPORT(AttendFew);

void attend_few(const AttentionTask& task) { HWY_DYNAMIC_DISPATCH(AttendFew)(task); }
}  // namespace nibble::cpu
#endif
