// SPDX-License-Identifier: Apache-2.0
//
// Splits causal attention into tasks for the pool. Many query rows (prefill) are split by rows. Few
// of them (decoding) are split by keys as well: a task has all heads of a group and one chunk of
// keys, and the chunks' partial results are merged in their order. Which kernel takes which rows
// and keys follows from shapes alone, so a result does not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

#include "nibble/backend/cpu/attention_task.h"
#include "nibble/backend/cpu/kernels.h"

namespace nibble::cpu {
namespace {

// Most tiles of rows that share the blocks of keys decoded for them. Four hide the decoding, and
// their state stays in L2; eight were up to 15 % slower.
constexpr int64_t kMostTilesPerTask = 4;
// With so many tasks per thread the longest of them, at the end of a prompt, is not waited for.
constexpr int64_t kTasksPerThread = 4;

HeadRows rows_of(const CacheRows& cache, int64_t head) {
  HeadRows rows;
  rows.dtype = cache.dtype();
  rows.rows = static_cast<const std::byte*>(cache.rows.raw()) +
              head * cache.capacity() * cache.head_dim() * size_of(cache.dtype());
  if (cache.dtype() == DType::kI8) {
    rows.scales = cache.scales.data<float>().data() + head * cache.capacity();
  }
  return rows;
}

// The partial results of the same rows, chunk after chunk; the first one's task says which rows.
struct Merge {
  size_t first_task = 0;
  int64_t chunks = 0;
};

class Plan {
 public:
  Plan(const AttentionArgs& args, float* y, int threads)
      : args_(args), y_(y), threads_(threads), lanes_(attention_lanes()) {
    for (const AttentionSpan& span : args.spans) add(span);
    partials_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(partial_floats_));
    int64_t at = 0;
    for (const Merge& merge : merges_) {
      for (int64_t i = 0; i < merge.chunks; ++i) {
        AttentionTask& task = tasks_[merge.first_task + static_cast<size_t>(i)];
        task.partial = partials_.get() + at;
        at += task.rows() * task.partial_size();
      }
    }
  }

  void run(ThreadPool& pool) const {
    // Below this many multiply-adds (a few microseconds) one thread is done before others wake.
    constexpr int64_t kSerialWork = 64 << 10;
    const int64_t count = static_cast<int64_t>(tasks_.size());
    pool.parallel_for(count, work_ < kSerialWork ? count : 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const AttentionTask& task = tasks_[static_cast<size_t>(i)];
        task.few ? attend_few(task) : attend_tiles(task);
      }
    });
    const int64_t merges = static_cast<int64_t>(merges_.size());
    pool.parallel_for(merges, partial_floats_ < kElementGrain ? merges : 1,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i)
                          merge(merges_[static_cast<size_t>(i)]);
                      });
  }

 private:
  void add(const AttentionSpan& span) {
    AttentionTask task;
    task.heads = args_.query.dim(1);
    task.head_dim = args_.query.dim(2);
    task.group = task.heads / span.keys.kv_heads();
    task.query = args_.query.data<float>().data() + span.begin * task.heads * task.head_dim;
    task.y = y_ + span.begin * task.heads * task.head_dim;
    task.first_position = span.length - span.count;
    task.sliding_window = args_.sliding_window;
    task.scale = args_.scale;
    task.row_end = span.count * task.group;
    if (task.row_end == 0) return;
    task.key_begin = task.first_visible(0);
    task.key_end = span.length;
    work_ +=
        2 * task.row_end * span.keys.kv_heads() * (task.key_end - task.key_begin) * task.head_dim;
    for (int64_t kv_head = 0; kv_head < span.keys.kv_heads(); ++kv_head) {
      task.first_head = kv_head * task.group;
      task.keys = rows_of(span.keys, kv_head);
      task.values = rows_of(span.values, kv_head);
      task.row_end <= 2 * lanes_ ? split_keys(task) : split_rows(task);
    }
  }

  // A tile's rows and its way over the keys are the same in any task.
  void split_rows(AttentionTask task) {
    const int64_t rows = task.row_end, tile = 2 * lanes_;
    const int64_t tiles = (rows + tile - 1) / tile * (task.heads / task.group);
    const int64_t step =
        tile * std::clamp<int64_t>(tiles / (threads_ * kTasksPerThread), 1, kMostTilesPerTask);
    for (int64_t row = 0; row < rows; row += step) {
      task.row_begin = row;
      task.row_end = std::min(row + step, rows);
      task.key_begin = task.first_visible(task.row_begin);
      task.key_end = task.position(task.row_end - 1) + 1;
      tasks_.push_back(task);
    }
  }

  void split_keys(AttentionTask task) {
    task.few = task.rows() < lanes_;
    const size_t first_task = tasks_.size();
    const int64_t key_end = task.key_end;
    while (task.key_begin < key_end) {
      task.key_end = std::min((task.key_begin / kKeyChunk + 1) * kKeyChunk, key_end);
      tasks_.push_back(task);
      task.key_begin = task.key_end;
    }
    const int64_t chunks = static_cast<int64_t>(tasks_.size() - first_task);
    if (chunks == 1) return;
    merges_.push_back({first_task, chunks});
    partial_floats_ += chunks * task.rows() * task.partial_size();
  }

  void merge(const Merge& merge) const {
    const AttentionTask& task = tasks_[merge.first_task];
    const int64_t head_dim = task.head_dim, chunk_size = task.rows() * task.partial_size();
    for (int64_t row = task.row_begin; row < task.row_end; ++row) {
      const float* first = task.partial + (row - task.row_begin) * task.partial_size();
      float maximum = kLowestScore, total = 0.0f;
      for (int64_t c = 0; c < merge.chunks; ++c) {
        maximum = std::max(maximum, first[c * chunk_size + head_dim]);
      }
      float* to = task.y + task.offset(row);
      std::fill_n(to, head_dim, 0.0f);
      for (int64_t c = 0; c < merge.chunks; ++c) {
        const float* from = first + c * chunk_size;
        const float weight = std::exp(from[head_dim] - maximum);
        total += weight * from[head_dim + 1];
        for (int64_t i = 0; i < head_dim; ++i) to[i] += weight * from[i];
      }
      for (int64_t i = 0; i < head_dim; ++i) to[i] /= total;
    }
  }

  const AttentionArgs& args_;
  float* y_;
  const int64_t threads_, lanes_;
  std::vector<AttentionTask> tasks_;
  std::vector<Merge> merges_;
  std::unique_ptr<float[]> partials_;
  int64_t partial_floats_ = 0;
  int64_t work_ = 0;  // multiply-adds
};

}  // namespace

void attention(ThreadPool& pool, const AttentionArgs& args, float* y) {
  Plan(args, y, pool.threads()).run(pool);
}

}  // namespace nibble::cpu
