// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/generate/sampler.h"

namespace nibble {

struct Scheduler::Sequence {
  int64_t id;
  std::vector<int32_t> ids;  // prompt and new tokens
  int64_t prompt_tokens;
  int64_t limit;  // of ids.size()
  FinishReason at_limit;
  GenerationConfig config;
  Sampler sampler;
  int64_t cached = -1;   // sequence id in the cache; -1: none
  int64_t in_cache = 0;  // leading ids that the cache holds
  int64_t reused = 0;    // of them, those that it held from the start

  int64_t length() const { return static_cast<int64_t>(ids.size()); }
  bool has_new_tokens() const { return length() > prompt_tokens; }
  int64_t most_cached() const { return limit - 1; }  // nothing follows the last token
  bool ends_with(int32_t token) const {
    return std::ranges::find(config.eos_token_id, token) != config.eos_token_id.end();
  }
};

namespace {

void check_prompt(const std::vector<int32_t>& prompt, const ModelConfig& model) {
  const int64_t length = static_cast<int64_t>(prompt.size());
  const int64_t context = model.max_position_embeddings;
  if (length == 0) {
    throw Error("the prompt has no tokens")
        .hint("give some text: this tokenizer adds no token that could begin a sequence");
  }
  if (length >= context) {
    throw Error("the prompt does not fit into the model's context")
        .expected(fmt::format("fewer than {} tokens (max_position_embeddings)", context))
        .got(fmt::format("{}", length));
  }
  for (const int32_t id : prompt) {
    if (id >= 0 && id < model.vocab_size) continue;
    throw Error("the prompt has a token that is not in the model's vocabulary")
        .expected(fmt::format("ids from 0 to {}", model.vocab_size - 1))
        .got(fmt::format("{}", id));
  }
}

void check_option(const char* name, int64_t value, int64_t least) {
  if (value >= least) return;
  throw Error(fmt::format("bad value of '{}'", name))
      .expected(fmt::format("at least {}", least))
      .got(fmt::format("{}", value));
}

}  // namespace

Scheduler::Scheduler(const Model& model, Backend& backend, const SchedulerOptions& options)
    : model_(model),
      stream_(backend.new_stream()),
      ctx_{backend, *stream_},
      max_sequences_(options.max_sequences),
      max_cached_tokens_(options.max_cached_tokens),
      cache_(model.new_cache(), options.max_cached_tokens, options.max_kept_sequences) {
  check_option("max_sequences", options.max_sequences, 1);
  check_option("max_kept_sequences", options.max_kept_sequences, 0);
  if (max_cached_tokens_) check_option("max_cached_tokens", *max_cached_tokens_, 1);
}

Scheduler::~Scheduler() = default;

int64_t Scheduler::add(std::vector<int32_t> prompt, const GenerationConfig& config) {
  config.validate();
  check_prompt(prompt, model_.config());
  const int64_t length = static_cast<int64_t>(prompt.size());
  const int64_t context = model_.config().max_position_embeddings;
  const int64_t wanted = config.new_tokens_after(length);
  const bool context_first = wanted > context - length;
  auto sequence = std::make_unique<Sequence>(Sequence{
      next_id_, std::move(prompt), length, context_first ? context : length + wanted,
      context_first ? FinishReason::kContextFull : FinishReason::kLength, config, Sampler(config)});
  if (max_cached_tokens_ && sequence->most_cached() > *max_cached_tokens_) {
    throw Error("the sequence can never fit into the cache")
        .expected(fmt::format("at most {} tokens (max_cached_tokens)", *max_cached_tokens_))
        .got(fmt::format("{} of the prompt and up to {} that follow", length,
                         sequence->most_cached() - length))
        .hint("a smaller max_new_tokens needs less");
  }
  waiting_.push_back(std::move(sequence));
  return next_id_++;
}

void Scheduler::cancel(int64_t id) {
  const auto has_id = [&](const auto& sequence) { return sequence->id == id; };
  std::erase_if(waiting_, has_id);
  const auto running = std::ranges::find_if(running_, has_id);
  if (running == running_.end()) return;
  cache_.close((*running)->cached, (*running)->config.use_cache);
  running_.erase(running);
}

SchedulerPass Scheduler::step(int64_t prefill_chunk) {
  SchedulerPass pass;
  TokenBatch batch;
  std::vector<Sequence*> rows;  // of the batch's slices
  int64_t left = std::max<int64_t>(1, prefill_chunk);
  const auto take = [&](Sequence& sequence) {
    const bool decodes = sequence.has_new_tokens() && sequence.config.use_cache;
    const int64_t missing = sequence.length() - sequence.in_cache;
    const int64_t count = decodes ? missing : std::min(missing, left);
    if (count == 0) return;
    if (!decodes) left -= count;
    (sequence.has_new_tokens() ? pass.decode_tokens : pass.prompt_tokens) += count;
    const auto begin = sequence.ids.begin() + sequence.in_cache;
    batch.add(sequence.cached, {begin, begin + count});
    rows.push_back(&sequence);
  };
  for (const auto& sequence : running_) take(*sequence);
  // As late as possible: what the ones before have read by then need not be read again.
  while (left > 0 && start_next()) take(*running_.back());
  if (rows.empty()) return pass;

  const Tensor logits = forward(batch);  // [slices, vocab]
  const size_t vocab = static_cast<size_t>(logits.dim(-1));
  for (size_t row = 0; row < rows.size(); ++row) {
    Sequence& sequence = *rows[row];
    sequence.in_cache += batch.slices[row].count;
    if (sequence.in_cache < sequence.length()) continue;  // more of the prompt follows
    pass.events.push_back(extend(sequence, logits.data<float>().subspan(row * vocab, vocab)));
  }
  std::erase_if(running_, [](const auto& sequence) { return sequence->cached < 0; });
  return pass;
}

bool Scheduler::start_next() {
  if (waiting_.empty() || static_cast<int64_t>(running_.size()) >= max_sequences_) return false;
  Sequence& next = *waiting_.front();
  if (!cache_.has_room(next.most_cached())) return false;
  const std::span<const int32_t> known =
      next.config.use_cache ? std::span<const int32_t>(next.ids) : std::span<const int32_t>();
  running_.reserve(running_.size() + 1);  // what follows open() must not fail
  const PrefixCache::Opened opened = cache_.open(ctx_, known, next.most_cached());
  next.cached = opened.sequence;
  next.in_cache = next.reused = opened.reused;
  running_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
  return true;
}

Tensor Scheduler::forward(const TokenBatch& batch) {
  const Tensor on_device = model_.forward(ctx_, batch, cache_.kv(), LogitsOf::kLastOfSlices);
  const Tensor logits = ctx_.backend.download(ctx_.stream, on_device);
  ctx_.stream.synchronize();
  cache_.record(batch);
  return logits;
}

// Gives the sequence its next token, and its room back when it ends with it.
SequenceEvent Scheduler::extend(Sequence& sequence, std::span<const float> logits) {
  SequenceEvent event;
  event.id = sequence.id;
  if (!sequence.has_new_tokens()) event.reused_tokens = sequence.reused;
  try {
    event.token = sequence.sampler.next(logits, sequence.ids);
  } catch (const Error& error) {
    event.error = error;
  }
  if (event.error) {
    cache_.close(sequence.cached, /*keep=*/false);  // it may hold NaN
    sequence.cached = -1;
    return event;
  }
  sequence.ids.push_back(event.token);
  if (sequence.ends_with(event.token)) {
    event.finish = FinishReason::kEndOfSequence;
  } else if (sequence.length() >= sequence.limit) {
    event.finish = sequence.at_limit;
  }
  if (event.finish) {
    cache_.close(sequence.cached, sequence.config.use_cache);
    sequence.cached = -1;
  } else if (!sequence.config.use_cache) {
    cache_.clear(sequence.cached);
    sequence.in_cache = 0;
  }
  return event;
}

}  // namespace nibble
