// SPDX-License-Identifier: Apache-2.0
//
// What attention.cc hands to its two kernels: some query rows of one span and KV head, and the keys
// that they may see. Both kernels read the cache once for all heads of a group, in whatever dtype
// it has, and keep a running maximum and sum instead of all scores (arXiv 1805.02867).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "nibble/tensor/dtype.h"

namespace nibble::cpu {

// Rows [capacity, head_dim] of one KV head.
struct HeadRows {
  DType dtype = DType::kF32;
  const void* rows = nullptr;
  const float* scales = nullptr;  // [capacity], of int8

  template <typename T>
  const T* row(int64_t position, int64_t head_dim) const {
    return static_cast<const T*>(rows) + position * head_dim;
  }
};

// The keys of one partial result. Chunks begin at multiples of it, so that they and the order in
// which they are merged depend on the position alone. 256 keys of one head are some ten
// microseconds of work; of 128 elements in float32 they stay in L2.
inline constexpr int64_t kKeyChunk = 256;

// Below any score: the maximum before the first visible key. Finite, so that the difference of two
// of them is a number.
inline constexpr float kLowestScore = -3.0e38f;

// Query rows [row_begin, row_end) of one span and KV head; row = token of the span * group + head
// of the group.
struct AttentionTask {
  const float* query = nullptr;  // [tokens of the span, heads, head_dim]
  float* y = nullptr;            // like query
  HeadRows keys, values;
  int64_t heads = 0, head_dim = 0, group = 0, first_head = 0;
  int64_t first_position = 0;  // of the span's first token
  int64_t sliding_window = 0;  // 0: all
  float scale = 1.0f;
  int64_t row_begin = 0, row_end = 0;
  int64_t key_begin = 0, key_end = 0;
  bool few = false;  // for attend_few()
  // Null: the result goes to y. Otherwise only a part of the keys is here, and each row leaves
  // its weighted sum of values [head_dim], its maximum and its sum of weights, partial_size()
  // floats.
  float* partial = nullptr;

  int64_t rows() const { return row_end - row_begin; }
  int64_t partial_size() const { return head_dim + 2; }
  int64_t position(int64_t row) const { return first_position + row / group; }
  int64_t first_visible(int64_t row) const {
    return sliding_window > 0 ? std::max<int64_t>(0, position(row) - sliding_window + 1) : 0;
  }
  // Of the row's head in query and y.
  int64_t offset(int64_t row) const {
    return (row / group * heads + first_head + row % group) * head_dim;
  }
};

// Query rows in the lanes of whole tiles: for at least a vector of them.
void attend_tiles(const AttentionTask& task);
// Elements of a head in the lanes: for fewer rows, and at most kKeyChunk keys.
void attend_few(const AttentionTask& task);

int64_t attention_lanes();  // floats of a vector

// Writes a row's result, `values` its weighted sum, to where the task wants it.
inline void finish_row(const AttentionTask& task, int64_t row, const float* values, int64_t stride,
                       float maximum, float total) {
  if (task.partial == nullptr) {
    float* to = task.y + task.offset(row);
    for (int64_t i = 0; i < task.head_dim; ++i) to[i] = values[i * stride] / total;
    return;
  }
  float* to = task.partial + (row - task.row_begin) * task.partial_size();
  for (int64_t i = 0; i < task.head_dim; ++i) to[i] = values[i * stride];
  to[task.head_dim] = maximum;
  to[task.head_dim + 1] = total;
}

}  // namespace nibble::cpu
