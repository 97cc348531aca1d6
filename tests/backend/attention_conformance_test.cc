// SPDX-License-Identifier: Apache-2.0
//
// The KV cache and attention of the cpu backend against the reference, on every instruction set:
// each dtype of the cache, groups of heads, sizes of heads, lengths and windows.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/backend/conformance.h"

namespace nibble::conformance {
namespace {

constexpr DType kDtypes[] = {DType::kF32, DType::kF16, DType::kI8};

class AttentionConformance : public CpuTarget {
 protected:
  // Rows [0, length) of random numbers, and NaN behind: nothing there may be read into a result.
  CacheRows random_cache(DType dtype, int64_t kv_heads, int64_t length, int64_t head_dim) {
    const int64_t capacity = length + 5;
    const Tensor rows = random_tensor(random_, {capacity, kv_heads, head_dim});
    CacheRows cache = empty_cache(dtype, kv_heads, capacity, head_dim);
    reference_->append_to_cache(stream_, rows, 0, length, cache, 0);
    const std::vector<float> nan(static_cast<size_t>(head_dim), NAN);
    for (int64_t head = 0; head < kv_heads; ++head) {
      for (int64_t i = length; i < capacity; ++i) encode_cache_row(nan, cache, head, i);
    }
    return cache;
  }

  static CacheRows empty_cache(DType dtype, int64_t kv_heads, int64_t capacity, int64_t head_dim) {
    CacheRows cache(Tensor::zeros(dtype, {kv_heads, capacity, head_dim}));
    if (dtype == DType::kI8) cache.scales = Tensor::zeros(DType::kF32, {kv_heads, capacity});
    return cache;
  }

  static void expect_same_cache(const CacheRows& got, const CacheRows& want) {
    const auto a = got.rows.bytes(), b = want.rows.bytes();
    ASSERT_TRUE(std::ranges::equal(a, b));
    if (want.dtype() == DType::kI8) expect_same_bits(got.scales, want.scales);
  }

  struct Case {
    DType dtype;
    int64_t heads, kv_heads, head_dim, sliding_window;
    float spread;                                    // of queries: large ones sharpen the softmax
    std::vector<std::pair<int64_t, int64_t>> spans;  // count, length
  };

  void check_case(const Case& c) {
    SCOPED_TRACE(fmt::format("{}, {} heads, {} kv heads of {}, window {}, first span {} of {}",
                             torch_name(c.dtype), c.heads, c.kv_heads, c.head_dim, c.sliding_window,
                             c.spans[0].first, c.spans[0].second));
    int64_t tokens = 0;
    std::vector<AttentionSpan> spans;
    for (const auto& [count, length] : c.spans) {
      spans.push_back({tokens, count, length, random_cache(c.dtype, c.kv_heads, length, c.head_dim),
                       random_cache(c.dtype, c.kv_heads, length, c.head_dim)});
      tokens += count;
    }
    const Tensor query = random_tensor(random_, {tokens, c.heads, c.head_dim}, c.spread);
    const AttentionArgs args{query, spans, 1.0f / std::sqrt(static_cast<float>(c.head_dim)),
                             c.sliding_window};
    // Both read the same rows of 16 or 8 bits, exactly. A score of magnitude s has an error of a
    // few roundings of its sum of magnitudes (below 10 * spread), which e^score turns into a
    // relative error of a weight; y is a mean of values below 5.
    check(
        query.shape(), [&](Backend& backend, Tensor& y) { backend.attention(stream_, args, y); },
        kOne, 5 * (30 + 60 * c.spread) * kRounding);
  }

  Random random_{15};
};

TEST_P(AttentionConformance, AppendToCache) {
  const Tensor x = random_tensor(random_, {9, 3, 5}, 300.0f);
  for (const DType dtype : kDtypes) {
    SCOPED_TRACE(torch_name(dtype));
    CacheRows got = empty_cache(dtype, 3, 8, 5), want = empty_cache(dtype, 3, 8, 5);
    cpu_->append_to_cache(stream_, x, 2, 4, got, 3);
    reference_->append_to_cache(stream_, x, 2, 4, want, 3);
    expect_same_cache(got, want);
    if (dtype != DType::kF32) continue;
    const auto from = x.data<float>(), to = got.rows.data<float>();
    for (size_t head = 0; head < 3; ++head) {
      for (size_t position = 0; position < 8; ++position) {
        for (size_t i = 0; i < 5; ++i) {
          const bool written = position >= 3 && position < 7;
          const float value = written ? from[((position - 1) * 3 + head) * 5 + i] : 0.0f;
          ASSERT_EQ(to[(head * 8 + position) * 5 + i], value);
        }
      }
    }
  }
}

TEST_P(AttentionConformance, CopyCache) {
  for (const DType dtype : kDtypes) {
    SCOPED_TRACE(torch_name(dtype));
    const CacheRows from = random_cache(dtype, 3, 40, 6);
    CacheRows got = empty_cache(dtype, 3, 70, 6), want = empty_cache(dtype, 3, 70, 6);
    cpu_->copy_cache(stream_, from, 33, got);
    reference_->copy_cache(stream_, from, 33, want);
    expect_same_cache(got, want);
    std::vector<float> row(6), copy(6);
    decode_cache_row(from, 2, 32, row);
    decode_cache_row(got, 2, 32, copy);
    EXPECT_EQ(copy, row);
    decode_cache_row(got, 2, 33, copy);
    EXPECT_EQ(copy, std::vector<float>(6, 0.0f));
  }
}

// Groups of 1 to 16 heads over sizes of heads that fill vectors and that do not.
TEST_P(AttentionConformance, GroupsAndHeads) {
  for (const DType dtype : kDtypes) {
    for (const int64_t group : {1, 2, 3, 4, 7, 8, 16}) {
      for (const int64_t head_dim : {7, 8, 48, 64, 80, 128}) {
        check_case({dtype, 2 * group, 2, head_dim, 0, 1.0f, {{1, 67}, {3, 130}, {1, 1}}});
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Lengths on both sides of a chunk and of a block of keys, decoding and reading.
TEST_P(AttentionConformance, Lengths) {
  for (const DType dtype : kDtypes) {
    for (const int64_t length : {1, 2, 3, 5, 63, 64, 65, 255, 256, 257, 600}) {
      for (const int64_t group : {1, 4}) {
        for (const int64_t count :
             {int64_t{1}, int64_t{2}, std::min<int64_t>(length, 40), length}) {
          if (count > length) continue;
          check_case({dtype, 2 * group, 2, 16, 0, 2.0f, {{count, length}}});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(AttentionConformance, Windows) {
  for (const DType dtype : kDtypes) {
    for (const int64_t window : {1, 2, 33, 64, 256, 300, 100000}) {
      for (const int64_t group : {1, 3, 8}) {
        for (const auto& [count, length] :
             {std::pair<int64_t, int64_t>{1, 700}, {3, 515}, {4, 90}, {70, 150}, {1, 20}}) {
          check_case({dtype, 2 * group, 2, 24, window, 1.0f, {{count, length}}});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(AttentionConformance, RaggedBatchesAndSharpSoftmax) {
  const std::vector<Case> cases = {
      {DType::kF32, 9, 3, 64, 0, 20.0f, {{5, 200}, {1, 3}, {17, 17}}},
      {DType::kF32, 4, 4, 80, 0, 1.0f, {{1, 129}, {130, 130}}},
      {DType::kF32, 32, 1, 7, 0, 1.0f, {{2, 66}}},
      {DType::kF32, 2, 2, 64, 1000, 5.0f, {{100, 100}}},
      {DType::kF16, 9, 3, 64, 0, 20.0f, {{5, 200}, {1, 1300}, {17, 17}, {60, 90}}},
      {DType::kF16, 32, 4, 64, 0, 5.0f, {{1, 1500}, {200, 300}, {2, 800}}},
      {DType::kI8, 9, 3, 64, 0, 20.0f, {{5, 200}, {1, 1300}, {17, 17}, {60, 90}}},
      {DType::kI8, 8, 1, 128, 100, 5.0f, {{1, 1500}, {200, 300}, {2, 800}}},
  };
  for (const Case& c : cases) {
    check_case(c);
    if (HasFatalFailure()) return;
  }
}

// A sequence gets the same bits in any company.
TEST_P(AttentionConformance, CompanyChangesNothing) {
  for (const DType dtype : kDtypes) {
    const CacheRows keys = random_cache(dtype, 2, 300, 16),
                    values = random_cache(dtype, 2, 300, 16);
    const CacheRows other = random_cache(dtype, 2, 90, 16);
    const Tensor query = random_tensor(random_, {91, 8, 16});
    Tensor alone = Tensor::zeros(DType::kF32, {1, 8, 16});
    const AttentionSpan one{0, 1, 300, keys, values};
    cpu_->attention(stream_, {query.slice_rows(90, 91), {&one, 1}, 0.25f, 0}, alone);
    Tensor together = Tensor::zeros(DType::kF32, {91, 8, 16});
    const std::vector<AttentionSpan> both = {{0, 90, 90, other, other}, {90, 1, 300, keys, values}};
    cpu_->attention(stream_, {query, both, 0.25f, 0}, together);
    expect_same_bits(together.slice_rows(90, 91), alone);
  }
}

INSTANTIATE_TEST_SUITE_P(, AttentionConformance, testing::ValuesIn(cpu::available_targets()),
                         [](const auto& target) { return target.param; });

}  // namespace
}  // namespace nibble::conformance
