// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/base/random.h"

namespace nibble {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void check_at_least(const char* what, int64_t value, int64_t least) {
  if (value >= least) return;
  throw Error(fmt::format("bad {} to measure the speed of", what))
      .expected(fmt::format("at least {}", least))
      .got(fmt::format("{}", value));
}

}  // namespace

void check_speed_case(const SpeedCase& speed_case, const ModelConfig& config) {
  check_at_least("number of sequences", speed_case.batch, 1);
  check_at_least("number of prompt tokens", speed_case.prompt, 1);
  check_at_least("number of new tokens", speed_case.generate, 0);
  const int64_t context = config.max_position_embeddings;
  if (speed_case.prompt <= context && speed_case.generate <= context - speed_case.prompt) return;
  throw Error("prompt and new tokens do not fit into the model's context")
      .expected(fmt::format("at most {} tokens (max_position_embeddings)", context))
      .got(fmt::format("{} and {} more", speed_case.prompt, speed_case.generate));
}

LinearCosts linear_costs(const Model& model) {
  LinearCosts costs;
  model.visit([&](const std::string&, const Linear& linear) {
    const Weight& weight = linear.weight().weight();
    costs.bytes += weight.total_bytes();
    // The head comes last in the order of the forward pass.
    costs.body_weights += costs.head_weights;
    costs.head_weights = weight.rows() * weight.cols();
  });
  return costs;
}

// The sequences of one run, their ids known to the end, and how far the cache has them.
struct SpeedRunner::Sequences {
  KvCache cache;
  std::vector<int64_t> in_cache;          // their names there
  std::vector<std::vector<int32_t>> ids;  // prompt and new tokens of each
  int64_t length = 0;                     // tokens of each that were read
  int64_t head_rows = 0;                  // logits rows computed so far

  Sequences(const Model& model, int64_t count, int64_t tokens) : cache(model.new_cache()) {
    Random random(0);
    const auto vocab = static_cast<uint64_t>(model.config().vocab_size);
    for (int64_t i = 0; i < count; ++i) {
      in_cache.push_back(cache.add_sequence());
      std::vector<int32_t>& own = ids.emplace_back();
      for (int64_t t = 0; t < tokens; ++t)
        own.push_back(static_cast<int32_t>(random.next() % vocab));
    }
  }

  void forget() {
    for (const int64_t sequence : in_cache) cache.truncate(sequence, 0);
    length = 0;
  }
};

SpeedRunner::SpeedRunner(const Model& model, Backend& backend, SpeedOptions options)
    : model_(model),
      stream_(backend.new_stream()),
      ctx_{backend, *stream_},
      options_(std::move(options)) {
  check_at_least("number of tokens in a pass", options_.prefill_chunk, 1);
  if (!options_.seconds_now) options_.seconds_now = steady_seconds;
}

SpeedTimes SpeedRunner::run(const SpeedCase& speed_case) {
  check_speed_case(speed_case, model_.config());
  Sequences sequences(model_, speed_case.batch, speed_case.prompt + speed_case.generate);
  SpeedTimes times;
  const double start = options_.seconds_now();
  read(sequences, speed_case.prompt);
  const double prompt_read = options_.seconds_now();
  times.prefill_seconds = prompt_read - start;
  times.prefill_head_rows = sequences.head_rows;
  if (speed_case.decode_passes() == 0) return times;
  for (int64_t pass = 1; pass <= speed_case.decode_passes(); ++pass) {
    if (!speed_case.use_cache) sequences.forget();
    read(sequences, speed_case.prompt + pass);
  }
  times.decode_seconds = options_.seconds_now() - prompt_read;
  return times;
}

double SpeedRunner::touch_weights() {
  Sequences sequences(model_, 1, 1);
  const double start = options_.seconds_now();
  read(sequences, 1);
  return options_.seconds_now() - start;
}

// Reads all sequences up to `length`, in passes as the scheduler makes them: one sequence after the
// other, a long one in parts, several short ones together.
void SpeedRunner::read(Sequences& sequences, int64_t length) {
  // Decoding passes hold one token of each sequence, however many there are.
  const int64_t most = length - sequences.length == 1 ? static_cast<int64_t>(sequences.ids.size())
                                                      : options_.prefill_chunk;
  TokenBatch batch;
  for (size_t i = 0; i < sequences.ids.size(); ++i) {
    for (int64_t begin = sequences.length; begin < length;) {
      const int64_t end = std::min(length, begin + most - batch.tokens());
      const auto first = sequences.ids[i].begin();
      batch.add(sequences.in_cache[i], {first + begin, first + end});
      begin = end;
      if (batch.tokens() < most) continue;
      forward(sequences, batch);
      batch = {};
    }
  }
  if (batch.tokens() > 0) forward(sequences, batch);
  sequences.length = length;
}

void SpeedRunner::forward(Sequences& sequences, const TokenBatch& batch) {
  if (options_.before_pass) options_.before_pass();
  const Tensor logits = model_.forward(ctx_, batch, sequences.cache);
  ctx_.backend.download(ctx_.stream, logits);
  ctx_.stream.synchronize();
  sequences.head_rows += static_cast<int64_t>(batch.slices.size());
}

}  // namespace nibble
