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
#include "nibble/backend/cpu/few_queries-inl.h"
#include "nibble/backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys or values decoded at a time: 64 rows of 64 floats are half of an L1 of 32 KB.
constexpr int64_t kDecodedRows = 64;

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
