// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/kv_cache.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "nibble/backend/reference/reference_backend.h"
#include "nibble/base/error.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

constexpr int64_t kLayers = 2, kHeads = 2, kHeadDim = 3;

using testing::message_of;

class KvCacheTest : public ::testing::TestWithParam<DType> {
 protected:
  // Every number says where it came from.
  static float key_of(int64_t layer, int32_t token, int64_t head, int64_t d) {
    return static_cast<float>(1000 * layer + 10 * token + 5 * head + d);
  }

  // Appends the batch's ids to both layers; values are keys negated.
  void append(const TokenBatch& batch) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      std::vector<float> keys, values;
      for (const int32_t id : batch.ids) {
        for (int64_t i = 0; i < kHeads * kHeadDim; ++i) {
          keys.push_back(key_of(layer, id, i / kHeadDim, i % kHeadDim));
          values.push_back(-keys.back());
        }
      }
      const Shape shape{batch.tokens(), kHeads, kHeadDim};
      spans_[static_cast<size_t>(layer)] =
          cache_.append(ctx_, layer, batch, Tensor::from(keys, shape), Tensor::from(values, shape));
    }
    cache_.advance(batch);
  }

  void append(int64_t sequence, const std::vector<int32_t>& ids) {
    TokenBatch batch;
    batch.add(sequence, ids);
    append(batch);
  }

  // `row` as a cache gives it back.
  static std::vector<float> stored(std::vector<float> row) {
    CacheRows cache(Tensor::zeros(GetParam(), {1, 1, kHeadDim}),
                    Tensor::zeros(DType::kF32, {1, 1}));
    encode_cache_row(row, cache, 0, 0);
    decode_cache_row(cache, 0, 0, row);
    return row;
  }

  // Span `index` of the last append holds exactly these tokens, in both layers.
  void expect_span(size_t index, const std::vector<int32_t>& ids) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      const AttentionSpan& span = spans_[static_cast<size_t>(layer)][index];
      ASSERT_EQ(span.length, static_cast<int64_t>(ids.size()));
      for (int64_t h = 0; h < kHeads; ++h) {
        for (int64_t p = 0; p < span.length; ++p) {
          std::vector<float> wanted_keys(kHeadDim), wanted_values(kHeadDim);
          for (int64_t d = 0; d < kHeadDim; ++d) {
            const auto at = static_cast<size_t>(d);
            wanted_keys[at] = key_of(layer, ids[static_cast<size_t>(p)], h, d);
            wanted_values[at] = -wanted_keys[at];
          }
          std::vector<float> keys(kHeadDim), values(kHeadDim);
          decode_cache_row(span.keys, h, p, keys);
          decode_cache_row(span.values, h, p, values);
          ASSERT_EQ(keys, stored(wanted_keys)) << "position " << p;
          ASSERT_EQ(values, stored(wanted_values)) << "position " << p;
        }
      }
    }
  }

  std::unique_ptr<Backend> backend_ = make_reference_backend();
  std::unique_ptr<Stream> stream_ = backend_->new_stream();
  Context ctx_{*backend_, *stream_};
  KvCache cache_{kLayers, kHeads, kHeadDim, GetParam()};
  std::vector<AttentionSpan> spans_[kLayers];
};

std::vector<int32_t> range(int32_t begin, int32_t end) {
  std::vector<int32_t> ids;
  for (int32_t i = begin; i < end; ++i) ids.push_back(i);
  return ids;
}

TEST_P(KvCacheTest, GrowsAndKeepsWhatItHolds) {
  const int64_t sequence = cache_.add_sequence();
  std::vector<int32_t> all;
  for (const int32_t count : {3, 1, 60, 1, 200}) {
    const auto next =
        range(static_cast<int32_t>(all.size()), static_cast<int32_t>(all.size()) + count);
    all.insert(all.end(), next.begin(), next.end());
    append(sequence, next);
    expect_span(0, all);
  }
  EXPECT_EQ(cache_.length(sequence), 265);
  EXPECT_GE(cache_.bytes(), 265 * 2 * kLayers * kHeads * cache_row_bytes(GetParam(), kHeadDim));
  EXPECT_LE(cache_.bytes(), 520 * 2 * kLayers * kHeads * cache_row_bytes(GetParam(), kHeadDim));
}

TEST_P(KvCacheTest, SequencesOfABatchAreIndependent) {
  const int64_t a = cache_.add_sequence(), b = cache_.add_sequence();
  append(a, {1, 2, 3});
  TokenBatch batch;
  batch.add(b, {7});
  batch.add(a, {4, 5});
  EXPECT_EQ(cache_.positions(batch), (std::vector<int32_t>{0, 3, 4}));
  append(batch);
  expect_span(0, {7});
  expect_span(1, {1, 2, 3, 4, 5});
}

TEST_P(KvCacheTest, TruncateCutsBack) {
  const int64_t sequence = cache_.add_sequence();
  append(sequence, range(0, 10));
  cache_.truncate(sequence, 4);
  append(sequence, {50});
  expect_span(0, {0, 1, 2, 3, 50});
  EXPECT_EQ(message_of([&] { cache_.truncate(sequence, 6); }),
            "cannot cut a sequence to this length: expected 0 to 5, got 6");
}

TEST_P(KvCacheTest, ForkCopies) {
  const int64_t first = cache_.add_sequence();
  append(first, {1, 2});
  const int64_t second = cache_.fork(ctx_, first, 2);
  const int64_t empty = cache_.fork(ctx_, cache_.add_sequence(), 0);
  append(first, {3});
  append(second, {4});
  expect_span(0, {1, 2, 4});
  append(first, {5});
  expect_span(0, {1, 2, 3, 5});
  EXPECT_EQ(cache_.length(empty), 0);
}

TEST_P(KvCacheTest, ForkCopiesNoMoreThanAskedFor) {
  const int64_t first = cache_.add_sequence();
  append(first, range(0, 500));
  const int64_t whole = cache_.bytes();
  const int64_t second = cache_.fork(ctx_, first, 70);
  EXPECT_EQ(cache_.length(second), 70);
  EXPECT_LT(cache_.bytes(), whole * 3 / 2);
  append(second, {900});
  std::vector<int32_t> expected = range(0, 70);
  expected.push_back(900);
  expect_span(0, expected);
  append(cache_.fork(ctx_, first, 0), {7});
  expect_span(0, {7});
  append(first, {901});
  EXPECT_EQ(spans_[0][0].length, 501);
  EXPECT_EQ(message_of([&] { cache_.fork(ctx_, second, 72); }),
            "cannot fork a sequence at this length: expected 0 to 71, got 72");
}

TEST_P(KvCacheTest, DropFreesMemory) {
  const int64_t sequence = cache_.add_sequence();
  append(sequence, {1});
  cache_.drop(sequence);
  EXPECT_EQ(cache_.bytes(), 0);
  EXPECT_EQ(message_of([&] { cache_.length(sequence); }), "the cache has no such sequence: got 0");
  EXPECT_EQ(message_of([&] { cache_.drop(sequence); }), "the cache has no such sequence: got 0");
  EXPECT_NE(cache_.add_sequence(), sequence);
}

TEST_P(KvCacheTest, RefusesBatchesThatContradictThemselves) {
  const int64_t sequence = cache_.add_sequence();
  TokenBatch twice;
  twice.add(sequence, {1});
  twice.add(sequence, {2});
  EXPECT_EQ(message_of([&] { append(twice); }), "a sequence comes twice in a batch: got 0");
  TokenBatch none;
  none.add(sequence, {});
  EXPECT_EQ(message_of([&] { cache_.positions(none); }),
            "the slices of a batch do not follow each other: expected a slice from row 0 within 0 "
            "tokens, got begin 0, count 0");
  TokenBatch uncovered;
  uncovered.add(sequence, {1});
  uncovered.ids.push_back(2);
  EXPECT_EQ(message_of([&] { cache_.positions(uncovered); }),
            "the slices of a batch do not cover its tokens: expected 2, got 1");
  const Tensor wrong = Tensor::zeros(DType::kF32, {1, kHeads, kHeadDim + 1});
  TokenBatch one;
  one.add(sequence, {1});
  EXPECT_EQ(message_of([&] { cache_.append(ctx_, 0, one, wrong, wrong); }),
            "keys and values do not fit the cache: expected [1, 2, 3] for one of 2 layers, got "
            "[1, 2, 4] and [1, 2, 4] for layer 0");
  EXPECT_EQ(message_of([&] { cache_.advance(one); }),
            "cannot advance a sequence past what was appended to it: got 0");
  EXPECT_EQ(cache_.length(sequence), 0);
}

INSTANTIATE_TEST_SUITE_P(, KvCacheTest, ::testing::Values(DType::kF32, DType::kF16, DType::kI8),
                         [](const auto& test) { return std::string(torch_name(test.param)); });

TEST(KvCacheDtypeTest, OthersAreRefused) {
  EXPECT_EQ(message_of([] { KvCache(1, 1, 2, DType::kBF16); }),
            "a KV cache has no such dtype: expected float32, float16 or int8, got bfloat16");
}

}  // namespace
}  // namespace nibble
