// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "nibble/base/error.h"
#include "nibble/generate/sampler.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Running {
  int64_t index;             // in the batch
  std::vector<int32_t> ids;  // prompt and new tokens
  int64_t limit;             // of ids.size()
  FinishReason at_limit;
  Sampler sampler;
  int64_t cached = -1;   // sequence id in the cache; -1: none yet
  int64_t in_cache = 0;  // leading ids that the cache holds
  int32_t next = -1;     // sampled, not yet in ids
};

// One call of generate().
class Run {
 public:
  Run(const Model& model, Backend& backend, const GenerationConfig& config,
      const GeneratorOptions& options)
      : model_(model),
        config_(config),
        options_(options),
        stream_(backend.new_stream()),
        ctx_{backend, *stream_},
        cache_(model.new_cache()) {}

  void start(const std::vector<std::vector<int32_t>>& prompts);
  GenerationResult run();

 private:
  void forward(Progress* progress);
  void pass(const TokenBatch& batch, const std::vector<Running*>& rows);
  void accept_tokens();
  bool ended(const Running& sequence, int32_t id, FinishReason& why) const;

  const Model& model_;
  const GenerationConfig& config_;
  const GeneratorOptions& options_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  KvCache cache_;
  std::vector<std::unique_ptr<Running>> running_;
  GenerationResult result_;
};

void Run::start(const std::vector<std::vector<int32_t>>& prompts) {
  if (prompts.empty()) throw Error("nothing to generate: the batch is empty");
  result_.sequences.resize(prompts.size());
  const int64_t context = model_.config().max_position_embeddings;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int64_t length = static_cast<int64_t>(prompts[i].size());
    if (length == 0) {
      throw Error("the prompt has no tokens")
          .hint("give some text: this tokenizer adds no token that could begin a sequence");
    }
    if (length >= context) {
      throw Error("the prompt does not fit into the model's context")
          .expected(fmt::format("fewer than {} tokens (max_position_embeddings)", context))
          .got(fmt::format("{}", length));
    }
    const int64_t wanted = config_.new_tokens_after(length);
    const bool context_first = wanted > context - length;
    running_.push_back(std::make_unique<Running>(Running{
        static_cast<int64_t>(i), prompts[i], context_first ? context : length + wanted,
        context_first ? FinishReason::kContextFull : FinishReason::kLength, Sampler(config_)}));
    result_.timings.prompt_tokens += length;
  }
}

GenerationResult Run::run() {
  Clock::time_point start = Clock::now();
  if (options_.progress) {
    options_.progress->begin("reading the prompt", result_.timings.prompt_tokens);
  }
  forward(options_.progress);
  if (options_.progress) options_.progress->end();
  result_.timings.prefill_seconds = seconds_since(start);
  accept_tokens();

  start = Clock::now();
  while (!running_.empty()) {
    forward(nullptr);
    result_.timings.decode_tokens += static_cast<int64_t>(running_.size());
    accept_tokens();
  }
  result_.timings.decode_seconds = seconds_since(start);
  return std::move(result_);
}

// Brings the cache up to all ids of every running sequence, in passes of bounded size, and samples
// the next token of each.
void Run::forward(Progress* progress) {
  TokenBatch batch;
  std::vector<Running*> rows;  // of the batch's slices; null where more of a prompt follows
  const int64_t chunk = std::max<int64_t>(1, options_.prefill_chunk);
  const auto flush = [&] {
    if (batch.tokens() == 0) return;
    pass(batch, rows);
    if (progress) progress->advance(batch.tokens(), {});
    batch = {};
    rows.clear();
  };
  for (const auto& sequence : running_) {
    if (!config_.use_cache && sequence->cached >= 0) {
      cache_.drop(sequence->cached);
      sequence->cached = -1;
      sequence->in_cache = 0;
    }
    if (sequence->cached < 0) sequence->cached = cache_.add_sequence();
    const int64_t length = static_cast<int64_t>(sequence->ids.size());
    while (sequence->in_cache < length) {
      const int64_t count = std::min(length - sequence->in_cache, chunk - batch.tokens());
      const auto begin = sequence->ids.begin() + sequence->in_cache;
      batch.add(sequence->cached, {begin, begin + count});
      sequence->in_cache += count;
      rows.push_back(sequence->in_cache == length ? sequence.get() : nullptr);
      if (batch.tokens() == chunk) flush();
    }
  }
  flush();
}

void Run::pass(const TokenBatch& batch, const std::vector<Running*>& rows) {
  const Tensor on_device = model_.forward(ctx_, batch, cache_, LogitsOf::kLastOfSlices);
  const Tensor logits = ctx_.backend.download(ctx_.stream, on_device);
  ctx_.stream.synchronize();
  const std::span<const float> values = logits.data<float>();
  const size_t vocab = static_cast<size_t>(logits.dim(-1));
  for (size_t row = 0; row < rows.size(); ++row) {
    if (!rows[row]) continue;
    rows[row]->next = rows[row]->sampler.next(values.subspan(row * vocab, vocab), rows[row]->ids);
  }
}

// Appends the sampled token to each sequence and retires those that end with it.
void Run::accept_tokens() {
  for (const auto& sequence : running_) {
    GeneratedSequence& out = result_.sequences[static_cast<size_t>(sequence->index)];
    sequence->ids.push_back(sequence->next);
    out.ids.push_back(sequence->next);
    if (options_.on_token) options_.on_token(sequence->index, sequence->next);
    if (ended(*sequence, sequence->next, out.finish)) {
      cache_.drop(sequence->cached);
      sequence->cached = -1;
    }
  }
  std::erase_if(running_, [](const auto& sequence) { return sequence->cached < 0; });
}

bool Run::ended(const Running& sequence, int32_t id, FinishReason& why) const {
  const auto& eos = config_.eos_token_id;
  if (std::find(eos.begin(), eos.end(), id) != eos.end()) {
    why = FinishReason::kEndOfSequence;
    return true;
  }
  if (options_.is_complete && options_.is_complete(sequence.index)) {
    why = FinishReason::kStopString;
    return true;
  }
  why = sequence.at_limit;
  return static_cast<int64_t>(sequence.ids.size()) >= sequence.limit;
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfSequence:
      return "eos";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContextFull:
      return "context";
  }
  return "";
}

double GenerationTimings::prefill_tokens_per_second() const {
  return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
}

double GenerationTimings::decode_tokens_per_second() const {
  return decode_seconds > 0 ? static_cast<double>(decode_tokens) / decode_seconds : 0;
}

GenerationResult Generator::generate(const std::vector<std::vector<int32_t>>& prompts,
                                     const GenerationConfig& config,
                                     const GeneratorOptions& options) const {
  config.validate();
  Run run(model_, backend_, config, options);
  run.start(prompts);
  return run.run();
}

}  // namespace nibble
