// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/divergence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/eval/perplexity.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"

namespace nibble {
namespace {

class DivergenceTest : public ::testing::Test {
 protected:
  DivergenceTest() {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = "reference";
    plain_ = open_model(folder_ / "model", options);
    options.quantization.emplace().load_in_4bit = true;
    quantized_ = open_model(folder_ / "model", options);
    Random random(5);
    for (int i = 0; i < 60; ++i) ids_.push_back(static_cast<int32_t>(random.next() % 96));
  }

  static ModelOnBackend at(const OpenedModel& opened) { return {*opened.model, *opened.backend}; }

  // The softmax behind all tokens but the last, each row in double.
  std::vector<std::vector<double>> probabilities(const OpenedModel& opened) {
    const auto stream = opened.backend->new_stream();
    Context ctx{*opened.backend, *stream};
    std::vector<std::vector<double>> rows;
    for (size_t length = 1; length < ids_.size(); ++length) {
      KvCache cache = opened.model->new_cache();
      TokenBatch batch;
      batch.add(cache.add_sequence(),
                {ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(length)});
      const Tensor logits = opened.model->forward(ctx, batch, cache);
      std::vector<double> row;
      double sum = 0;
      for (const float x : logits.data<float>()) sum += row.emplace_back(std::exp(double{x}));
      for (double& x : row) x /= sum;
      rows.push_back(std::move(row));
    }
    return rows;
  }

  testing::ScratchFolder folder_;
  OpenedModel plain_, quantized_;
  std::vector<int32_t> ids_;
};

// Single-precision logits of one pass against those of one token at a time, relative.
constexpr double kTolerance = 1e-3;

TEST_F(DivergenceTest, OfAModelFromItselfIsNothing) {
  const DivergenceResult result = divergence_of_sequence(at(plain_), at(plain_), ids_);
  EXPECT_EQ(result.mean_kl, 0.0);
  EXPECT_EQ(result.max_kl, 0.0);
  EXPECT_EQ(result.same_top, 1.0);
  EXPECT_EQ(result.tokens, 59);
  EXPECT_EQ(result.perplexity, result.reference_perplexity);
  EXPECT_NEAR(result.perplexity,
              perplexity_of_sequence(*plain_.model, *plain_.backend, ids_).perplexity,
              kTolerance * result.perplexity);
}

TEST_F(DivergenceTest, FollowsItsDefinition) {
  const auto q = probabilities(quantized_), p = probabilities(plain_);
  std::vector<double> kl;
  double same = 0, sum = 0;
  for (size_t t = 0; t < p.size(); ++t) {
    double of_token = 0;
    for (size_t i = 0; i < p[t].size(); ++i) of_token += p[t][i] * std::log(p[t][i] / q[t][i]);
    kl.push_back(of_token);
    sum += of_token;
    same += std::ranges::max_element(p[t]) - p[t].begin() ==
            std::ranges::max_element(q[t]) - q[t].begin();
  }
  std::ranges::sort(kl);
  const double n = static_cast<double>(kl.size());
  const DivergenceResult result = divergence_of_sequence(at(quantized_), at(plain_), ids_);
  EXPECT_GT(result.mean_kl, 1e-7);
  EXPECT_NEAR(result.mean_kl, sum / n, kTolerance * sum / n);
  EXPECT_NEAR(result.max_kl, kl.back(), kTolerance * kl.back());
  EXPECT_NEAR(result.median_kl, kl[29], kTolerance * kl[29]);
  EXPECT_EQ(result.same_top, same / n);
  EXPECT_NE(result.perplexity, result.reference_perplexity);
}

TEST_F(DivergenceTest, RefusesOtherVocabulariesAndNothing) {
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  testing::TinyModel other;
  other.vocab = 97;
  other.write(folder_ / "other");
  OpenOptions options;
  options.backend = "reference";
  const OpenedModel larger = open_model(folder_ / "other", options);
  EXPECT_EQ(message([&] { divergence_of_sequence(at(larger), at(plain_), ids_); }),
            "the models have different vocabularies: expected 96 tokens, as the reference has, got "
            "97");
  EXPECT_EQ(message([&] { divergence_of_sequence(at(plain_), at(plain_), {}); }),
            "nothing to score: expected a text of at least two tokens");
}

}  // namespace
}  // namespace nibble
