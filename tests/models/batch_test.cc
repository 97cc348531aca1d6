// SPDX-License-Identifier: Apache-2.0
//
// Sequences of one cache do not see each other: batching, chunking, cutting back and forking change
// nothing but rounding.
#include <gtest/gtest.h>

#include "nibble/backend/registry.h"
#include "tests/models/model_testing.h"

namespace nibble::testing {
namespace {

// A row may take another kernel in a batch than alone, which sums in another order: see
// golden_test.cc.
constexpr double kTolerance = 4e-5;

class Batches : public ::testing::TestWithParam<std::string> {
 protected:
  // Qwen3 has the most switches: norms of q and k, its own head_dim, a sliding window, tied.
  const RunningModel running_{golden_model("qwen3"), GetParam()};
  const std::vector<int32_t> ids_ = expected_ids("qwen3", "ids");
  KvCache cache_ = running_.model().new_cache();
  const int64_t vocab_ = running_.model().config().vocab_size;

  std::vector<float> alone(const std::vector<int32_t>& ids) {
    const int64_t sequence = cache_.add_sequence();
    auto logits = running_.run(cache_, sequence, ids);
    cache_.drop(sequence);
    return logits;
  }
};

TEST_P(Batches, RaggedEqualsSingle) {
  const std::vector<std::vector<int32_t>> prompts = {
      ids_, {ids_.begin(), ids_.begin() + 1}, {ids_.begin() + 3, ids_.begin() + 17}};
  TokenBatch batch;
  std::vector<float> expected, expected_last;
  for (const auto& prompt : prompts) {
    batch.add(cache_.add_sequence(), prompt);
    const auto logits = alone(prompt);
    expected.insert(expected.end(), logits.begin(), logits.end());
    expected_last.insert(expected_last.end(), logits.end() - vocab_, logits.end());
  }
  EXPECT_LE(max_difference(running_.run(cache_, batch, LogitsOf::kAllTokens), expected),
            kTolerance);
  for (const SequenceSlice& slice : batch.slices) cache_.truncate(slice.sequence, 0);
  EXPECT_LE(max_difference(running_.run(cache_, batch, LogitsOf::kLastOfSlices), expected_last),
            kTolerance);
}

TEST_P(Batches, ChunksEqualAtOnce) {
  const auto expected = alone(ids_);
  const int64_t sequence = cache_.add_sequence();
  std::vector<float> logits;
  for (size_t begin = 0; begin < ids_.size(); begin += 7) {
    const size_t end = std::min(ids_.size(), begin + 7);
    const auto part = running_.run(
        cache_, sequence,
        {ids_.begin() + static_cast<int64_t>(begin), ids_.begin() + static_cast<int64_t>(end)});
    logits.insert(logits.end(), part.begin(), part.end());
  }
  EXPECT_LE(max_difference(logits, expected), kTolerance);
}

TEST_P(Batches, TruncatedSequenceContinuesAsIfNeverLonger) {
  const auto expected = alone(ids_);
  const int64_t sequence = cache_.add_sequence();
  running_.run(cache_, sequence, ids_);
  cache_.truncate(sequence, 10);
  EXPECT_EQ(cache_.length(sequence), 10);
  const auto logits = running_.run(cache_, sequence, {ids_.begin() + 10, ids_.end()});
  EXPECT_LE(max_difference(logits, std::span(expected).subspan(static_cast<size_t>(10 * vocab_))),
            kTolerance);
}

TEST_P(Batches, ForkedSequencesGoTheirOwnWays) {
  const std::vector<int32_t> start(ids_.begin(), ids_.begin() + 12);
  const int64_t first = cache_.add_sequence();
  running_.run(cache_, first, start);
  Context ctx = running_.ctx();
  const int64_t second = cache_.fork(ctx, first, 12);
  EXPECT_EQ(cache_.length(second), 12);
  const auto last_of = [&](int32_t id) {
    std::vector<int32_t> all = start;
    all.push_back(id);
    const auto logits = alone(all);
    return std::vector<float>(logits.end() - vocab_, logits.end());
  };
  EXPECT_LE(max_difference(running_.run(cache_, first, {40}), last_of(40)), kTolerance);
  EXPECT_LE(max_difference(running_.run(cache_, second, {50}), last_of(50)), kTolerance);
}

TEST_P(Batches, ResultDoesNotDependOnTheNumberOfThreads) {
  OpenOptions one, three;
  one.pool = std::make_shared<ThreadPool>(1);
  three.pool = std::make_shared<ThreadPool>(3);
  const RunningModel a(golden_model("qwen3"), GetParam(), one);
  const RunningModel b(golden_model("qwen3"), GetParam(), three);
  KvCache cache_a = a.model().new_cache(), cache_b = b.model().new_cache();
  EXPECT_EQ(a.run(cache_a, cache_a.add_sequence(), ids_),
            b.run(cache_b, cache_b.add_sequence(), ids_));
}

INSTANTIATE_TEST_SUITE_P(All, Batches, ::testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

TEST(Forward, RefusesWhatIsNotThere) {
  const RunningModel running(golden_model("llama"));
  KvCache cache = running.model().new_cache();
  const int64_t sequence = cache.add_sequence();
  EXPECT_EQ(message_of([&] { running.run(cache, sequence, {5, 128}); }),
            "embedding: token id is out of range: expected 0 to 127, got 128");
  EXPECT_EQ(message_of([&] { running.run(cache, sequence, {-1}); }),
            "embedding: token id is out of range: expected 0 to 127, got -1");
  EXPECT_EQ(message_of([&] { running.run(cache, 7, {5}); }),
            "the cache has no such sequence: got 7");
  EXPECT_EQ(message_of([&] { running.run(cache, TokenBatch{}, LogitsOf::kAllTokens); }),
            "a forward pass needs at least one token");
  EXPECT_EQ(cache.length(sequence), 0);
}

TEST(Forward, VisitNamesEveryLinearInOrder) {
  const RunningModel running(golden_model("llama"));
  std::vector<std::string> names, asked;
  running.model().visit([&](const std::string& path, const Linear& linear) {
    names.push_back(path);
    EXPECT_GT(linear.weight().weight().rows(), 0);
  });
  for (const ModuleInfo& module : running.opened.modules) {
    if (module.kind == ModuleInfo::Kind::kLinear) asked.push_back(module.name);
  }
  EXPECT_EQ(names, asked);
  EXPECT_EQ(names.size(), 15u);
  EXPECT_EQ(names.front(), "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(names.back(), "lm_head");
}

}  // namespace
}  // namespace nibble::testing
