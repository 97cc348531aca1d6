// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/continuations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/eval/encode_continuation.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class ContinuationsTest : public ::testing::Test {
 protected:
  ContinuationsTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = "reference";
    opened_ = open_model(folder_ / "model", options);
  }

  std::vector<int32_t> ids(int64_t count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random_.next() % 96));
    return ids;
  }

  // By its definition: a forward pass for each token, with nothing shared, in double.
  ContinuationScore expected(const Continuation& continuation) {
    const auto stream = opened_.backend->new_stream();
    Context ctx{*opened_.backend, *stream};
    ContinuationScore score;
    std::vector<int32_t> before = continuation.context;
    const auto context = opened_.model->config().max_position_embeddings;
    for (const int32_t id : continuation.ids) {
      const auto whole =
          static_cast<int64_t>(continuation.context.size() + continuation.ids.size());
      const auto cut = std::max<int64_t>(0, whole - 1 - context);
      KvCache cache = opened_.model->new_cache();
      TokenBatch batch;
      batch.add(cache.add_sequence(), {before.begin() + cut, before.end()});
      const Tensor logits = opened_.model->forward(ctx, batch, cache);
      const auto row = logits.data<float>();
      double sum = 0;
      for (const float x : row) sum += std::exp(double{x});
      score.log_likelihood += double{row[static_cast<size_t>(id)]} - std::log(sum);
      score.greedy &= std::ranges::max_element(row) - row.begin() == id;
      before.push_back(id);
    }
    return score;
  }

  // The token that greedy decoding says behind `context`.
  int32_t most_likely(const std::vector<int32_t>& context) {
    for (int32_t id = 0;; ++id) {
      if (expected({context, {id}}).greedy) return id;
    }
  }

  void expect_scores(const std::vector<ContinuationGroup>& groups) {
    const auto scores = score_continuations(*opened_.model, *opened_.backend, groups);
    ASSERT_EQ(scores.size(), groups.size());
    for (size_t g = 0; g < groups.size(); ++g) {
      ASSERT_EQ(scores[g].size(), groups[g].size());
      for (size_t i = 0; i < groups[g].size(); ++i) {
        const ContinuationScore want = expected(groups[g][i]);
        // Single-precision logits of one pass against those of one token at a time.
        EXPECT_NEAR(scores[g][i].log_likelihood, want.log_likelihood, 1e-3) << g << " " << i;
        EXPECT_EQ(scores[g][i].greedy, want.greedy) << g << " " << i;
      }
    }
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
  Random random_{7};
};

TEST_F(ContinuationsTest, ScoresChoicesOfOneContext) {
  const std::vector<int32_t> context = ids(9), other = ids(4);
  expect_scores({{{context, ids(1)}, {context, ids(5)}, {context, ids(12)}},
                 {{other, ids(3)}, {other, ids(3)}}});
}

TEST_F(ContinuationsTest, ScoresSingleTokensThatShareEveryRow) {
  const std::vector<int32_t> context = ids(9);
  expect_scores({{{context, {5}}, {context, {6}}, {context, {5}}, {context, {7}}}});
}

TEST_F(ContinuationsTest, ScoresOneContinuationOfContextsThatPart) {
  std::vector<int32_t> one = ids(9), other = one;
  other[5] = (other[5] + 1) % 96;
  other.push_back(3);
  const std::vector<int32_t> rest = ids(4);
  expect_scores({{{one, rest}, {other, rest}}});
}

TEST_F(ContinuationsTest, ScoresContinuationsThatBeginAlike) {
  const std::vector<int32_t> context = ids(3);
  expect_scores({{{context, {4, 5, 6, 7}}, {context, {4, 5, 9}}, {context, {4}}}});
}

TEST_F(ContinuationsTest, GroupsMayBeginAlikeOrHaveNothingInCommon) {
  const std::vector<int32_t> examples = ids(20);
  std::vector<ContinuationGroup> groups;
  for (int64_t i = 0; i < 4; ++i) {
    std::vector<int32_t> context = examples;
    for (const int32_t id : ids(i)) context.push_back(id);
    groups.push_back({{context, ids(2)}, {context, ids(3)}});
  }
  expect_scores(groups);
  groups.push_back({{{1}, {2}}});
  expect_scores(groups);
}

// More tokens than one pass takes: whole questions go into the next.
TEST_F(ContinuationsTest, ManyGroupsTakeSeveralPasses) {
  std::vector<ContinuationGroup> groups;
  for (int i = 0; i < 30; ++i) {
    const std::vector<int32_t> context = ids(90);
    groups.push_back({{context, ids(3)}, {context, ids(9)}});
  }
  expect_scores(groups);
  std::vector<int64_t> done;
  score_continuations(*opened_.model, *opened_.backend, groups,
                      [&](int64_t count) { done.push_back(count); });
  EXPECT_EQ(done, (std::vector<int64_t>{20, 10}));  // 2048 tokens hold 20 times 90 + 2 + 8
}

// The last token need not be read, so a context of 128 tokens has place for 129.
TEST_F(ContinuationsTest, WhatIsTooLongIsCutFromTheLeft) {
  const std::vector<int32_t> context = ids(126);
  expect_scores({{{context, ids(3)}, {context, ids(4)}, {context, ids(20)}}, {{ids(5), ids(128)}}});
  EXPECT_THROW(score_continuations(*opened_.model, *opened_.backend, {{{ids(5), ids(129)}}}),
               Error);
}

TEST_F(ContinuationsTest, KnowsWhatGreedyDecodingSays) {
  std::vector<int32_t> context = ids(6);
  Continuation greedy{context, {}};
  for (int i = 0; i < 3; ++i) {
    greedy.ids.push_back(most_likely(context));
    context.push_back(greedy.ids.back());
  }
  Continuation other = greedy;
  other.ids[1] = (other.ids[1] + 1) % 96;
  const auto scores = score_continuations(*opened_.model, *opened_.backend, {{greedy, other}});
  EXPECT_TRUE(scores[0][0].greedy);
  EXPECT_FALSE(scores[0][1].greedy);
}

TEST_F(ContinuationsTest, RefusesIdsOutsideTheVocabulary) {
  EXPECT_THROW(score_continuations(*opened_.model, *opened_.backend, {{{{1}, {96}}}}), Error);
  EXPECT_THROW(score_continuations(*opened_.model, *opened_.backend, {{{{-1}, {5}}}}), Error);
  EXPECT_TRUE(score_continuations(*opened_.model, *opened_.backend, {}).empty());
}

// One token for each character, and BOS before a text.
TEST_F(ContinuationsTest, SpacesAtTheEndOfTheContextBelongToTheContinuation) {
  const auto tokenizer = Tokenizer::load(folder_ / "model");
  const auto id = testing::TinyModel::id_of;
  const Continuation plain = encode_continuation(*tokenizer, "ab", " c");
  EXPECT_EQ(plain.context, (std::vector<int32_t>{1, id('a'), id('b')}));
  EXPECT_EQ(plain.ids, (std::vector<int32_t>{id(' '), id('c')}));
  const Continuation moved = encode_continuation(*tokenizer, "ab  ", "c");
  EXPECT_EQ(moved.context, plain.context);
  EXPECT_EQ(moved.ids, (std::vector<int32_t>{id(' '), id(' '), id('c')}));
}

TEST_F(ContinuationsTest, AnEmptyContextIsTheBosToken) {
  const auto tokenizer = Tokenizer::load(folder_ / "model");
  const auto id = testing::TinyModel::id_of;
  const Continuation empty = encode_continuation(*tokenizer, "", " c");
  EXPECT_EQ(empty.context, std::vector<int32_t>{1});
  EXPECT_EQ(empty.ids, (std::vector<int32_t>{id(' '), id('c')}));
  EXPECT_THROW(encode_continuation(*tokenizer, "ab", ""), Error);
}

}  // namespace
}  // namespace nibble
