// SPDX-License-Identifier: Apache-2.0
//
// Independent sequences that run together: they join and end at any time, each with settings of its
// own, and every forward pass computes the next token of all of them and a part of the prompts that
// are still to be read, so that a long prompt does not stop the others. What does not fit waits, in
// the order of arrival. Knows ids only and calls nobody back: each pass returns what came of it.
//
// A sequence gets the ids that it gets alone as far as the backend gives a token the same result in
// any company. The reference backend does so to the last bit. The CPU backend takes another kernel
// for many tokens than for a few (backend/cpu/linear.cc), which may differ in the last bits of a
// logit and so choose otherwise between tokens that are as good as equal; LLM.int8() looks for its
// outlier columns in all tokens of a pass, as bitsandbytes does. The same holds for a prefix that
// is reused: it was computed in another pass.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/generate/finish_reason.h"
#include "nibble/generate/generation_config.h"
#include "nibble/generate/prefix_cache.h"
#include "nibble/models/model.h"

namespace nibble {

struct SchedulerOptions {
  int64_t max_sequences = 16;  // that run at once; more wait
  // Of running sequences, at the longest that they may become, and kept ones; absent: no limit.
  std::optional<int64_t> max_cached_tokens = std::nullopt;
  int64_t max_kept_sequences = 4;  // that ended and stay cached for prompts that begin like them
};

// Prompt tokens of one pass: enough for the kernels' best speed, and a bound on activation memory.
inline constexpr int64_t kPrefillChunk = 512;

struct SequenceEvent {
  int64_t id = 0;                      // of add()
  int32_t token = -1;                  // the next of the sequence
  std::optional<FinishReason> finish;  // with the last token
  int64_t reused_tokens = 0;           // with the first token: of the prompt, from the cache
  std::optional<Error> error;          // no token can follow: the sequence ends without one
};

struct SchedulerPass {
  std::vector<SequenceEvent> events;
  int64_t prompt_tokens = 0;  // computed for first tokens
  int64_t decode_tokens = 0;  // computed for later ones
};

// For one thread at a time.
class Scheduler {
 public:
  // Model and backend must outlive it. Throws Error for limits that let nothing run.
  Scheduler(const Model& model, Backend& backend, const SchedulerOptions& options = {});
  ~Scheduler();

  // Puts a sequence in line and returns its id; ids count up. Its stop strings are the caller's
  // business, who knows the text: cancel() ends it. With use_cache off, all of it is computed for
  // each token. Throws Error for an empty prompt, one with ids that are not in the vocabulary or as
  // long as the context, a bad config, and a sequence that can never fit into the cache.
  int64_t add(std::vector<int32_t> prompt, const GenerationConfig& config);

  // Ends a sequence wherever it stands; one that ended already stays as it is. What was computed of
  // it may be kept for other prompts, as of any that ended, and gives its room away at once.
  void cancel(int64_t id);

  bool idle() const { return running_.empty() && waiting_.empty(); }

  // One forward pass with at most `prefill_chunk` prompt tokens; nothing when idle. When the model
  // throws, all sequences are as they were before.
  SchedulerPass step(int64_t prefill_chunk = kPrefillChunk);

 private:
  struct Sequence;

  bool start_next();
  Tensor forward(const TokenBatch& batch);
  SequenceEvent extend(Sequence& sequence, std::span<const float> logits);

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  const int64_t max_sequences_;
  const std::optional<int64_t> max_cached_tokens_;
  PrefixCache cache_;
  std::deque<std::unique_ptr<Sequence>> waiting_;   // in the order of arrival
  std::vector<std::unique_ptr<Sequence>> running_;  // likewise
  int64_t next_id_ = 0;
};

}  // namespace nibble
