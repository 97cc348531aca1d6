// SPDX-License-Identifier: Apache-2.0
#include "nibble/generate/generator.h"

#include <chrono>
#include <limits>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

SchedulerOptions options_for_batches(int64_t kept_sequences) {
  SchedulerOptions options;
  options.max_sequences = std::numeric_limits<int64_t>::max();  // a batch is as large as it is
  options.max_kept_sequences = kept_sequences;
  return options;
}

// One call of generate(). Leaves nothing in the scheduler, however it ends.
class BatchRun {
 public:
  BatchRun(Scheduler& scheduler, const GeneratorOptions& options)
      : scheduler_(scheduler), options_(options) {}
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;
  ~BatchRun() {
    for (const int64_t id : ids_) scheduler_.cancel(id);
  }

  void start(const std::vector<std::vector<int32_t>>& prompts, const GenerationConfig& config);
  GenerationResult run();

 private:
  void count(const SchedulerPass& pass, double seconds);
  void show_progress(const SchedulerPass& pass);
  void accept(const SequenceEvent& event);

  Scheduler& scheduler_;
  const GeneratorOptions& options_;
  std::vector<int64_t> ids_;  // in the scheduler, one after the other
  int64_t unread_ = 0;        // prompt tokens
  GenerationResult result_;
};

void BatchRun::start(const std::vector<std::vector<int32_t>>& prompts,
                     const GenerationConfig& config) {
  if (prompts.empty()) throw Error("nothing to generate: the batch is empty");
  ids_.reserve(prompts.size());
  for (const std::vector<int32_t>& prompt : prompts) {
    ids_.push_back(scheduler_.add(prompt, config));
    unread_ += static_cast<int64_t>(prompt.size());
  }
  result_.sequences.resize(prompts.size());
  result_.timings.prompt_tokens = unread_;
}

GenerationResult BatchRun::run() {
  if (options_.progress) options_.progress->begin("reading the prompt", unread_);
  while (!scheduler_.idle()) {
    const Clock::time_point start = Clock::now();
    const SchedulerPass pass = scheduler_.step(options_.prefill_chunk);
    count(pass, std::chrono::duration<double>(Clock::now() - start).count());
    show_progress(pass);
    for (const SequenceEvent& event : pass.events) accept(event);
  }
  return std::move(result_);
}

void BatchRun::count(const SchedulerPass& pass, double seconds) {
  GenerationTimings& timings = result_.timings;
  const double for_prompts = static_cast<double>(pass.prompt_tokens) /
                             static_cast<double>(pass.prompt_tokens + pass.decode_tokens);
  timings.prefill_seconds += seconds * for_prompts;
  timings.decode_seconds += seconds * (1 - for_prompts);
  for (const SequenceEvent& event : pass.events) timings.reused_tokens += event.reused_tokens;
}

// Ends with the last prompt token, before any text that follows it is shown.
void BatchRun::show_progress(const SchedulerPass& pass) {
  if (!options_.progress || unread_ == 0) return;
  int64_t reused = 0;
  for (const SequenceEvent& event : pass.events) reused += event.reused_tokens;
  unread_ -= pass.prompt_tokens + reused;
  if (reused > 0) options_.progress->skip(reused);
  if (pass.prompt_tokens > 0) options_.progress->advance(pass.prompt_tokens, {});
  if (unread_ == 0) options_.progress->end();
}

void BatchRun::accept(const SequenceEvent& event) {
  if (event.error) throw *event.error;
  const int64_t index = event.id - ids_.front();
  GeneratedSequence& sequence = result_.sequences[static_cast<size_t>(index)];
  if (!sequence.ids.empty()) ++result_.timings.decode_tokens;
  sequence.ids.push_back(event.token);
  if (options_.on_token) options_.on_token(index, event.token);
  if (event.finish == FinishReason::kEndOfSequence || !options_.is_complete ||
      !options_.is_complete(index)) {
    if (event.finish) sequence.finish = *event.finish;
    return;
  }
  sequence.finish = FinishReason::kStopString;
  scheduler_.cancel(event.id);
}

}  // namespace

double GenerationTimings::prefill_tokens_per_second() const {
  const double computed = static_cast<double>(prompt_tokens - reused_tokens);
  return prefill_seconds > 0 ? computed / prefill_seconds : 0;
}

double GenerationTimings::decode_tokens_per_second() const {
  return decode_seconds > 0 ? static_cast<double>(decode_tokens) / decode_seconds : 0;
}

Generator::Generator(const Model& model, Backend& backend, int64_t kept_sequences)
    : scheduler_(model, backend, options_for_batches(kept_sequences)) {}

GenerationResult Generator::generate(const std::vector<std::vector<int32_t>>& prompts,
                                     const GenerationConfig& config,
                                     const GeneratorOptions& options) {
  BatchRun run(scheduler_, options);
  run.start(prompts, config);
  return run.run();
}

}  // namespace nibble
