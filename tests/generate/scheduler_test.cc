// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/scheduler.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <numeric>
#include <string>

#include "nibble/base/error.h"
#include "nibble/models/open_model.h"
#include "tests/generate/tiny_model.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

using testing::message_of;

Ids range(int32_t begin, int32_t end) {
  Ids ids(static_cast<size_t>(end - begin));
  std::iota(ids.begin(), ids.end(), begin);
  return ids;
}

GenerationConfig greedy(int64_t new_tokens) {
  GenerationConfig config;
  config.max_new_tokens = new_tokens;
  return config;
}

GenerationConfig sampling(int64_t new_tokens, uint64_t seed) {
  GenerationConfig config = greedy(new_tokens);
  config.do_sample = true;
  config.temperature = 1.5;
  config.seed = seed;
  return config;
}

// What came of the sequences of a scheduler.
struct Outcome {
  std::map<int64_t, Ids> ids;  // the new ones
  std::map<int64_t, FinishReason> finish;
  std::map<int64_t, int64_t> reused;
  std::map<int64_t, std::string> errors;
  std::vector<int64_t> order;  // of the first tokens
  int64_t prompt_tokens = 0, decode_tokens = 0;

  void take(const SchedulerPass& pass) {
    prompt_tokens += pass.prompt_tokens;
    decode_tokens += pass.decode_tokens;
    for (const SequenceEvent& event : pass.events) {
      if (event.error) {
        errors[event.id] = event.error->what();
        continue;
      }
      if (!ids.contains(event.id)) {
        order.push_back(event.id);
        reused[event.id] = event.reused_tokens;
      }
      ids[event.id].push_back(event.token);
      if (event.finish) finish[event.id] = *event.finish;
    }
  }
};

Outcome run_all(Scheduler& scheduler, int64_t chunk = kPrefillChunk) {
  Outcome outcome;
  while (!scheduler.idle()) outcome.take(scheduler.step(chunk));
  return outcome;
}

class SchedulerTest : public ::testing::Test {
 protected:
  explicit SchedulerTest(const std::string& backend = "reference") {
    testing::TinyModel().write(folder_ / "model");
    OpenOptions options;
    options.backend = backend;
    opened_ = open_model(folder_ / "model", options);
  }

  Scheduler scheduler(const SchedulerOptions& options = {}) {
    return Scheduler(*opened_.model, *opened_.backend, options);
  }

  Ids alone(const Ids& prompt, const GenerationConfig& config) {
    Scheduler own(*opened_.model, *opened_.backend);
    own.add(prompt, config);
    return run_all(own).ids[0];
  }

  testing::ScratchFolder folder_;
  OpenedModel opened_;
};

struct Company {
  const char* backend;
  int64_t chunk;
};

class SchedulerCompany : public SchedulerTest, public ::testing::WithParamInterface<Company> {
 protected:
  SchedulerCompany() : SchedulerTest(GetParam().backend) {}
};

TEST_P(SchedulerCompany, JoiningAndLeavingChangesNoOther) {
  struct Request {
    Ids prompt;
    GenerationConfig config;
  };
  std::vector<Request> requests = {{range(10, 15), greedy(12)}, {{1}, greedy(3)},
                                   {range(20, 60), greedy(25)}, {range(5, 22), greedy(1)},
                                   {range(10, 40), greedy(9)},  {{1, 90}, greedy(30)},
                                   {range(20, 60), greedy(6)},  {{1, 2, 3}, greedy(4)}};
  requests[5].config.eos_token_id = {alone({1, 90}, greedy(30))[11]};
  // Drawn tokens are compared on the reference backend only: see scheduler.h.
  if (GetParam().backend == std::string("reference")) {
    requests[0].config = sampling(12, 1);
    requests[2].config = sampling(25, 2);
    requests[4].config = sampling(9, 1);
    requests[4].config.repetition_penalty = 1.3;
    requests[7].config.use_cache = false;
  }
  Scheduler scheduler(*opened_.model, *opened_.backend, {.max_sequences = 3});
  Outcome outcome;
  const auto add = [&](size_t i) { scheduler.add(requests[i].prompt, requests[i].config); };
  const auto steps = [&](int count) {
    for (int i = 0; i < count; ++i) outcome.take(scheduler.step(GetParam().chunk));
  };
  add(0);
  steps(4);
  add(1);
  add(2);
  steps(3);
  add(3);
  add(4);
  add(5);
  steps(2);
  add(6);
  while (!outcome.ids.contains(2) || outcome.ids.at(2).size() < 5) steps(1);
  scheduler.cancel(2);
  add(7);
  while (!scheduler.idle()) steps(1);

  for (size_t i = 0; i < requests.size(); ++i) {
    Ids expected = alone(requests[i].prompt, requests[i].config);
    if (i == 2) expected.resize(5);
    EXPECT_EQ(outcome.ids[static_cast<int64_t>(i)], expected) << i;
  }
  EXPECT_EQ(outcome.order, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(outcome.finish[0], FinishReason::kLength);
  EXPECT_EQ(outcome.finish[5], FinishReason::kEndOfSequence);
  EXPECT_FALSE(outcome.finish.contains(2));
}

INSTANTIATE_TEST_SUITE_P(All, SchedulerCompany,
                         ::testing::Values(Company{"reference", 1}, Company{"reference", 3},
                                           Company{"reference", 512}, Company{"cpu", 1},
                                           Company{"cpu", 3}, Company{"cpu", 512}),
                         [](const auto& test) {
                           return test.param.backend + std::to_string(test.param.chunk);
                         });

TEST_F(SchedulerTest, ALongPromptDoesNotStopTheOthers) {
  Scheduler scheduler = this->scheduler();
  scheduler.add({1, 40}, greedy(40));
  scheduler.step();
  const int64_t reading = scheduler.add(range(10, 60), greedy(5));
  for (int pass = 0; pass < 17; ++pass) {  // 50 tokens by threes
    const SchedulerPass done = scheduler.step(3);
    EXPECT_EQ(done.prompt_tokens, pass < 16 ? 3 : 2);
    EXPECT_EQ(done.decode_tokens, 1);
    ASSERT_EQ(done.events.size(), pass < 16 ? 1u : 2u);
    EXPECT_EQ(done.events.back().id, pass < 16 ? 0 : reading);
  }
}

TEST_F(SchedulerTest, RunsNoMoreThanSoManyAtOnce) {
  Scheduler scheduler = this->scheduler({.max_sequences = 2});
  for (int i = 0; i < 4; ++i) scheduler.add({1, 40 + i}, greedy(5));
  while (!scheduler.idle()) EXPECT_LE(scheduler.step().events.size(), 2u);
}

TEST_F(SchedulerTest, WhatDoesNotFitWaitsInTheOrderOfArrival) {
  Scheduler scheduler = this->scheduler({.max_cached_tokens = 20});
  scheduler.add(range(10, 20), greedy(6));  // 15 cached
  scheduler.add(range(20, 30), greedy(6));  // does not fit beside it
  scheduler.add({1, 2}, greedy(2));         // would, but came later
  Outcome outcome;
  for (int i = 0; i < 6; ++i) {
    outcome.take(scheduler.step());
    EXPECT_EQ(outcome.order, std::vector<int64_t>{0});
  }
  outcome.take(scheduler.step());
  EXPECT_EQ(outcome.order, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(outcome.finish.size(), 1u);
  while (!scheduler.idle()) outcome.take(scheduler.step());
  EXPECT_EQ(outcome.ids[1], alone(range(20, 30), greedy(6)));
}

TEST_F(SchedulerTest, CancellingGivesTheRoomAway) {
  Scheduler scheduler = this->scheduler({.max_cached_tokens = 20});
  scheduler.add(range(10, 20), greedy(10));
  const int64_t second = scheduler.add(range(20, 30), greedy(4));
  const int64_t third = scheduler.add(range(30, 40), greedy(4));
  EXPECT_EQ(scheduler.step().events.size(), 1u);
  scheduler.cancel(0);
  scheduler.cancel(second);  // while it waits
  scheduler.cancel(99);      // never was
  const Outcome outcome = run_all(scheduler);
  EXPECT_EQ(outcome.order, std::vector<int64_t>{third});
  EXPECT_EQ(outcome.ids.at(third), alone(range(30, 40), greedy(4)));
  scheduler.cancel(third);  // over
  EXPECT_TRUE(scheduler.idle());
  EXPECT_TRUE(scheduler.step().events.empty());
}

TEST_F(SchedulerTest, APromptThatContinuesAnEndedSequenceReadsOnlyWhatIsNew) {
  Scheduler scheduler = this->scheduler();
  Ids prompt = range(10, 30);
  scheduler.add(prompt, greedy(8));
  const Ids answer = run_all(scheduler).ids[0];
  prompt.insert(prompt.end(), answer.begin(), answer.end());
  prompt.insert(prompt.end(), {50, 51, 52});
  const int64_t next = scheduler.add(prompt, greedy(8));
  const Outcome outcome = run_all(scheduler);
  EXPECT_EQ(outcome.ids.at(next), alone(prompt, greedy(8)));
  EXPECT_EQ(outcome.reused.at(next), 27);  // the last token of the answer was not computed
  EXPECT_EQ(outcome.prompt_tokens, 31 - 27);
  EXPECT_EQ(outcome.decode_tokens, 7);
}

TEST_F(SchedulerTest, PromptsThatBeginAlikeShareTheBeginning) {
  Scheduler scheduler = this->scheduler({.max_kept_sequences = 0});
  Ids first = range(10, 50), second = first;
  second[30] = 90;
  scheduler.add(first, sampling(10, 1));
  scheduler.add(second, sampling(10, 2));
  scheduler.add(first, sampling(10, 3));
  const Outcome outcome = run_all(scheduler, 16);  // the second begins when the first is read
  EXPECT_EQ(outcome.ids.at(0), alone(first, sampling(10, 1)));
  EXPECT_EQ(outcome.ids.at(1), alone(second, sampling(10, 2)));
  EXPECT_EQ(outcome.ids.at(2), alone(first, sampling(10, 3)));
  EXPECT_EQ(outcome.reused, (std::map<int64_t, int64_t>{{0, 0}, {1, 30}, {2, 39}}));
  EXPECT_EQ(outcome.prompt_tokens, 3 * 40 - 30 - 39);
}

TEST_F(SchedulerTest, WithoutCacheNothingIsReusedOrKept) {
  Scheduler scheduler = this->scheduler();
  GenerationConfig config = greedy(4);
  config.use_cache = false;
  scheduler.add(range(10, 20), config);
  run_all(scheduler);
  scheduler.add(range(10, 20), greedy(4));
  EXPECT_EQ(run_all(scheduler).reused.at(1), 0);
  scheduler.add(range(10, 20), config);
  const Outcome outcome = run_all(scheduler, 3);
  EXPECT_EQ(outcome.reused.at(2), 0);
  EXPECT_EQ(outcome.prompt_tokens, 10);
  EXPECT_EQ(outcome.decode_tokens, 11 + 12 + 13);
  EXPECT_EQ(outcome.ids.at(2), alone(range(10, 20), greedy(4)));
}

TEST_F(SchedulerTest, ASequenceThatCannotGoOnEndsWithoutTheOthers) {
  GenerationConfig unique = greedy(120);  // more than the 96 tokens that there are
  unique.no_repeat_ngram_size = 1;
  Scheduler scheduler = this->scheduler();
  scheduler.add({1}, unique);
  scheduler.add({1, 40}, greedy(110));
  Outcome outcome = run_all(scheduler);
  EXPECT_EQ(outcome.ids[0].size(), 95u);
  EXPECT_NE(outcome.errors[0].find("no token can follow"), std::string::npos);
  EXPECT_EQ(outcome.ids[1], alone({1, 40}, greedy(110)));
}

TEST_F(SchedulerTest, RefusesWhatCanNeverRun) {
  Scheduler scheduler = this->scheduler({.max_cached_tokens = 20});
  const auto refusal = [&](const Ids& prompt, const GenerationConfig& config) {
    return message_of([&] { scheduler.add(prompt, config); });
  };
  EXPECT_EQ(refusal(range(10, 20), greedy(12)),
            "the sequence can never fit into the cache: expected at most 20 tokens "
            "(max_cached_tokens), got 10 of the prompt and up to 11 that follow; a smaller "
            "max_new_tokens needs less");
  EXPECT_EQ(refusal({1, 96}, greedy(1)),
            "the prompt has a token that is not in the model's vocabulary: expected ids from 0 to "
            "95, got 96");
  EXPECT_EQ(refusal({-1}, greedy(1)),
            "the prompt has a token that is not in the model's vocabulary: expected ids from 0 to "
            "95, got -1");
  EXPECT_EQ(refusal(Ids(128, 5), greedy(1)),
            "the prompt does not fit into the model's context: expected fewer than 128 tokens "
            "(max_position_embeddings), got 128");
  EXPECT_NE(refusal({}, greedy(1)), "no error");
  EXPECT_NE(refusal({1}, greedy(0)), "no error");
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.add(range(10, 20), greedy(11)), 0);
  EXPECT_EQ(message_of([&] { this->scheduler({.max_sequences = 0}); }),
            "bad value of 'max_sequences': expected at least 1, got 0");
  EXPECT_NE(message_of([&] { this->scheduler({.max_cached_tokens = 0}); }), "no error");
  EXPECT_NE(message_of([&] { this->scheduler({.max_kept_sequences = -1}); }), "no error");
}

// Fails in the middle of a pass when told to.
class FailingModel : public Model {
 public:
  explicit FailingModel(const Model& inner) : Model(inner.config()), inner_(inner) {}
  int64_t block_count() const override { return inner_.block_count(); }
  std::string block_prefix(int64_t index) const override { return inner_.block_prefix(index); }
  Tensor embed(Context& ctx, const TokenBatch& batch) const override {
    return inner_.embed(ctx, batch);
  }
  Tensor attend(Context& ctx, int64_t index, const Tensor& hidden, const TokenBatch& batch,
                KvCache& cache) const override {
    if (index == 1 && fail) throw Error("out of memory");
    return inner_.attend(ctx, index, hidden, batch, cache);
  }
  Tensor finish_block(Context& ctx, int64_t index, const Tensor& hidden,
                      const Tensor& attended) const override {
    return inner_.finish_block(ctx, index, hidden, attended);
  }
  Tensor head(Context& ctx, const Tensor& hidden) const override {
    return inner_.head(ctx, hidden);
  }
  void visit(const std::function<void(const std::string&, const Linear&)>& f) const override {
    inner_.visit(f);
  }
  void visit(const std::function<void(const std::string&, Linear&)>&) override {}
  std::vector<ScaleGroup> scale_groups(int64_t block) const override {
    return inner_.scale_groups(block);
  }
  void visit_norms(const std::function<void(const std::string&, RmsNorm&)>&) override {}
  bool fail = false;

 private:
  const Model& inner_;
};

TEST_F(SchedulerTest, AFailedPassChangesNothing) {
  FailingModel model(*opened_.model);
  Scheduler scheduler(model, *opened_.backend);
  Outcome outcome;
  scheduler.add(range(10, 30), sampling(8, 1));
  scheduler.add({1, 40}, sampling(8, 2));
  for (int pass = 0; !scheduler.idle(); ++pass) {
    model.fail = true;
    EXPECT_EQ(message_of([&] { scheduler.step(6); }), "out of memory");
    model.fail = false;
    outcome.take(scheduler.step(6));
  }
  EXPECT_EQ(outcome.ids[0], alone(range(10, 30), sampling(8, 1)));
  EXPECT_EQ(outcome.ids[1], alone({1, 40}, sampling(8, 2)));
}

}  // namespace
}  // namespace nibble
