// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/prefix_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>

#include "nibble/backend/reference/reference_backend.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

class PrefixCacheTest : public ::testing::TestWithParam<DType> {
 protected:
  void limit(std::optional<int64_t> max_tokens, int64_t max_kept) {
    cache_ = std::make_unique<PrefixCache>(KvCache(1, 1, 2, GetParam()), max_tokens, max_kept);
  }

  // As a forward pass does: one layer, whose keys are the tokens.
  void compute(int64_t sequence, const Ids& ids) {
    TokenBatch batch;
    batch.add(sequence, ids);
    std::vector<float> keys;
    for (const int32_t id : ids) keys.insert(keys.end(), 2, static_cast<float>(id));
    const Tensor rows = Tensor::from(keys, {batch.tokens(), 1, 2});
    last_ = cache_->kv().append(ctx_, 0, batch, rows, rows);
    cache_->kv().advance(batch);
    cache_->record(batch);
  }

  // The tokens whose keys the sequence holds, `next` behind them.
  Ids held_with(int64_t sequence, int32_t next) {
    compute(sequence, {next});
    Ids ids;
    for (int64_t i = 0; i < last_[0].length; ++i) {
      std::vector<float> key(2);
      decode_cache_row(last_[0].keys, 0, i, key);
      ids.push_back(static_cast<int32_t>(std::lround(key[0])));  // int8 rounds the last bit
    }
    return ids;
  }

  // A sequence from its prompt to its end.
  void run_and_keep(const Ids& prompt) {
    const auto opened = open(prompt);
    compute(opened.sequence, {prompt.begin() + opened.reused, prompt.end()});
    cache_->close(opened.sequence, /*keep=*/true);
  }

  PrefixCache::Opened open(const Ids& prompt) {
    return cache_->open(ctx_, prompt, static_cast<int64_t>(prompt.size()));
  }
  int64_t reused_by(const Ids& prompt) {  // and leaves nothing of it
    const auto opened = open(prompt);
    cache_->close(opened.sequence, /*keep=*/false);
    return opened.reused;
  }

  std::unique_ptr<Backend> backend_ = make_reference_backend();
  std::unique_ptr<Stream> stream_ = backend_->new_stream();
  Context ctx_{*backend_, *stream_};
  std::unique_ptr<PrefixCache> cache_ =
      std::make_unique<PrefixCache>(KvCache(1, 1, 2, GetParam()), std::nullopt, 2);
  std::vector<AttentionSpan> last_;
};

TEST_P(PrefixCacheTest, CopiesTheLongestCommonBeginning) {
  run_and_keep({1, 2, 3, 4});
  run_and_keep({1, 2, 3, 5, 6, 7});
  const auto opened = open({1, 2, 3, 5, 6, 8, 9});
  EXPECT_EQ(opened.reused, 5);
  EXPECT_EQ(held_with(opened.sequence, 8), (Ids{1, 2, 3, 5, 6, 8}));
  EXPECT_EQ(reused_by({1, 2, 3, 5, 6, 7, 7}), 6);  // the source stayed whole
  EXPECT_EQ(reused_by({2, 3}), 0);
}

TEST_P(PrefixCacheTest, ARunningSequenceLendsItsBeginningToo) {
  const auto first = open({1, 2, 3});
  compute(first.sequence, {1, 2});
  const auto second = open({1, 2, 3});
  EXPECT_EQ(second.reused, 2);
  EXPECT_EQ(held_with(second.sequence, 9), (Ids{1, 2, 9}));
  EXPECT_EQ(held_with(first.sequence, 3), (Ids{1, 2, 3}));
}

TEST_P(PrefixCacheTest, TakesOverAKeptSequenceThatThePromptContinues) {
  run_and_keep({1, 2, 3});
  const int64_t bytes = cache_->kv().bytes();
  const auto opened = open({1, 2, 3, 4, 5});
  EXPECT_EQ(opened.reused, 3);
  EXPECT_EQ(cache_->kv().bytes(), bytes);
  EXPECT_EQ(held_with(opened.sequence, 4), (Ids{1, 2, 3, 4}));
}

TEST_P(PrefixCacheTest, LeavesTheLastTokenOfAPromptToCompute) {
  run_and_keep({1, 2, 3});
  EXPECT_EQ(reused_by({1, 2, 3}), 2);
  EXPECT_EQ(reused_by({1}), 0);
}

TEST_P(PrefixCacheTest, TheLeastRecentlyUsedGoesFirst) {
  run_and_keep({1, 1, 1});
  run_and_keep({2, 2, 2});
  EXPECT_EQ(reused_by({1, 1, 5}), 2);
  run_and_keep({3, 3, 3});
  EXPECT_EQ(reused_by({2, 2, 5}), 0);
  EXPECT_EQ(reused_by({1, 1, 5}), 2);
  EXPECT_EQ(reused_by({3, 3, 5}), 2);
}

TEST_P(PrefixCacheTest, KeptSequencesMakeRoomForRunningOnes) {
  limit(10, 5);
  run_and_keep({1, 1, 1, 1});
  run_and_keep({2, 2, 2, 2});
  EXPECT_TRUE(cache_->has_room(10));
  const auto opened = open({3, 3, 3, 3, 3});
  EXPECT_FALSE(cache_->has_room(6));
  EXPECT_TRUE(cache_->has_room(5));
  EXPECT_EQ(reused_by({1, 1}), 0);
  EXPECT_EQ(reused_by({2, 2}), 0);
  cache_->close(opened.sequence, /*keep=*/false);
  EXPECT_TRUE(cache_->has_room(10));
}

TEST_P(PrefixCacheTest, CutsItsSourceBackWhereBothDoNotFit) {
  limit(10, 5);
  run_and_keep({1, 2, 3, 4, 5, 6});
  const auto opened = open({1, 2, 3, 9, 9});
  EXPECT_EQ(opened.reused, 3);
  EXPECT_EQ(held_with(opened.sequence, 9), (Ids{1, 2, 3, 9}));
  EXPECT_EQ(reused_by({1, 2, 3, 4, 5}), 3);
}

TEST_P(PrefixCacheTest, WhatIsNotKeptIsFreed) {
  const auto dropped = open({1, 2, 3});
  compute(dropped.sequence, {1, 2, 3});
  cache_->close(dropped.sequence, /*keep=*/false);
  EXPECT_EQ(cache_->kv().bytes(), 0);
  limit(std::nullopt, 0);
  run_and_keep({1, 2, 3});
  EXPECT_EQ(cache_->kv().bytes(), 0);
}

TEST_P(PrefixCacheTest, AClearedSequenceBeginsAgain) {
  const auto opened = open({1, 2, 3});
  compute(opened.sequence, {1, 2, 3});
  cache_->clear(opened.sequence);
  EXPECT_EQ(held_with(opened.sequence, 7), (Ids{7}));
  EXPECT_EQ(reused_by({1, 2, 3}), 0);
}

INSTANTIATE_TEST_SUITE_P(, PrefixCacheTest, ::testing::Values(DType::kF32, DType::kF16, DType::kI8),
                         [](const auto& test) { return std::string(torch_name(test.param)); });

}  // namespace
}  // namespace nibble
