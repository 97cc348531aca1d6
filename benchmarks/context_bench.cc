// SPDX-License-Identifier: Apache-2.0
//
// context_bench FOLDER [--context N] [--generate N] [--rounds N] [--threads N]
//
// What a long context costs, as Markdown tables, for each dtype of the KV cache: decode speed at
// context N (4096) beside that at 128, and the speed of reading the last 512 tokens of a prompt of
// N. Then the time of a token at context N by the number of layers that it goes through, which
// grows by the same amount for each. Caches are filled with random rows rather than computed, which
// costs the same to read. All dtypes are measured in each round, one after the other, so that a
// slow spell of the machine touches all alike; figures are medians over the rounds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/eval/speed_samples.h"
#include "nibble/models/open_model.h"

namespace {

using namespace nibble;

constexpr int64_t kShortContext = 128;
constexpr int64_t kPrefill = 512;  // tokens of a pass, as a scheduler reads prompts

struct Settings {
  std::string folder;
  int64_t context = 4096, generate = 8, rounds = 5;
  int threads = 0;
};

double seconds_of(auto&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A cache with a sequence at each of the two contexts, which every pass leaves as they were.
class Run {
 public:
  Run(const OpenedModel& opened, DType dtype, int64_t context)
      : model_(*opened.model),
        stream_(opened.backend->new_stream()),
        ctx_{*opened.backend, *stream_},
        cache_(model_.new_cache(dtype)),
        short_(add_sequence(kShortContext)),
        long_(add_sequence(context)) {}

  double short_decode() { return seconds_of_pass(short_, 1); }
  double long_decode() { return seconds_of_pass(long_, 1); }
  double prefill() { return seconds_of_pass(long_, kPrefill); }

  // One token through embedding, the first `layers` blocks and the head.
  double seconds_of_layers(int64_t layers) {
    cache_.truncate(long_, cache_.length(long_) - 1);
    const TokenBatch batch = batch_of(long_, 1);
    const double seconds = seconds_of([&] {
      Tensor hidden = model_.embed(ctx_, batch);
      for (int64_t i = 0; i < layers; ++i) hidden = model_.block(ctx_, i, hidden, batch, cache_);
      model_.head(ctx_, hidden);
    });
    cache_.advance(batch);
    return seconds;
  }

  int64_t cache_bytes() const { return cache_.bytes(); }

 private:
  // The last `tokens` of the sequence, again.
  double seconds_of_pass(int64_t sequence, int64_t tokens) {
    cache_.truncate(sequence, cache_.length(sequence) - tokens);
    const TokenBatch batch = batch_of(sequence, tokens);
    return seconds_of([&] { model_.forward(ctx_, batch, cache_); });
  }

  TokenBatch batch_of(int64_t sequence, int64_t tokens) {
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    for (int32_t& id : ids) {
      id = static_cast<int32_t>(random_.next() % static_cast<uint64_t>(model_.config().vocab_size));
    }
    TokenBatch batch;
    batch.add(sequence, ids);
    return batch;
  }

  int64_t add_sequence(int64_t length) {
    const int64_t sequence = cache_.add_sequence();
    while (cache_.length(sequence) < length) {
      append_random(sequence, std::min(kPrefill, length - cache_.length(sequence)));
    }
    return sequence;
  }

  void append_random(int64_t sequence, int64_t tokens) {
    const ModelConfig& config = model_.config();
    Tensor rows = Tensor::empty(DType::kF32, {tokens, config.num_key_value_heads, config.head_dim});
    for (float& value : rows.mutable_data<float>()) value = random_.normal();
    const TokenBatch batch = batch_of(sequence, tokens);
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      cache_.append(ctx_, layer, batch, rows, rows);
    }
    cache_.advance(batch);
  }

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  Random random_{0};
  KvCache cache_;
  const int64_t short_, long_;  // sequences
};

struct Candidate {
  DType dtype;
  Run run;
  std::vector<double> short_decode, long_decode, share, prefill;  // one entry per round
};

void measure(Candidate& candidate, const Settings& settings) {
  double short_seconds = 0, long_seconds = 0;
  for (int64_t i = 0; i < settings.generate; ++i) {  // in turn, so that both meet the same machine
    short_seconds += candidate.run.short_decode();
    long_seconds += candidate.run.long_decode();
  }
  const double tokens = static_cast<double>(settings.generate);
  candidate.short_decode.push_back(tokens / short_seconds);
  candidate.long_decode.push_back(tokens / long_seconds);
  candidate.share.push_back(short_seconds / long_seconds);
  const double prefill = candidate.run.prefill();
  candidate.prefill.push_back(static_cast<double>(kPrefill) / prefill);
}

void print_dtypes(const Settings& settings, const std::vector<Candidate>& candidates) {
  fmt::print(
      "| KV cache | MB | decode tokens/s at {} | at {} | share | prefill tokens/s up to {} |\n"
      "|---|---|---|---|---|---|\n",
      kShortContext, settings.context, settings.context);
  for (const Candidate& c : candidates) {
    fmt::print("| {} | {:.0f} | {:.2f} | {:.2f} | {:.1f} % | {:.1f} |\n", torch_name(c.dtype),
               static_cast<double>(c.run.cache_bytes()) / 1e6, median(c.short_decode),
               median(c.long_decode), 100 * median(c.share), median(c.prefill));
  }
}

void print_layers(const Settings& settings, int64_t layers, Run& run) {
  fmt::print("\n| layers | ms per token at {} | ms for each layer |\n|---|---|---|\n",
             settings.context);
  constexpr int64_t kSteps = 4;
  std::vector<double> seconds[kSteps + 1];
  for (int64_t round = 0; round < settings.rounds; ++round) {
    for (int64_t step = 0; step <= kSteps; ++step) {
      seconds[step].push_back(run.seconds_of_layers(layers * step / kSteps));
    }
  }
  const double none = median(seconds[0]);
  for (int64_t step = 0; step <= kSteps; ++step) {
    const int64_t count = layers * step / kSteps;
    const double time = median(seconds[step]);
    fmt::print("| {} | {:.1f} | {} |\n", count, 1e3 * time,
               count == 0 ? "" : fmt::format("{:.2f}", 1e3 * (time - none) / double(count)));
  }
}

void compare_contexts(const Settings& settings) {
  OpenOptions options;
  options.pool = std::make_shared<ThreadPool>(settings.threads);
  const OpenedModel opened = open_model(settings.folder, options);
  std::vector<Candidate> candidates;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
    candidates.push_back({dtype, Run(opened, dtype, settings.context), {}, {}, {}, {}});
  }
  for (Candidate& candidate : candidates) candidate.run.short_decode();  // warm up
  for (int64_t round = 0; round < settings.rounds; ++round) {
    for (Candidate& candidate : candidates) measure(candidate, settings);
    fmt::print(stderr, "round {} of {}\n", round + 1, settings.rounds);
  }
  fmt::print("{} threads\n\n", options.pool->threads());
  print_dtypes(settings, candidates);
  print_layers(settings, opened.model->block_count(), candidates[1].run);
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const int64_t value = i + 1 < argc ? std::atoll(argv[i + 1]) : 0;
    if (!option.starts_with("--")) {
      settings.folder = option;
      continue;
    }
    if (option == "--context") settings.context = value;
    if (option == "--generate") settings.generate = value;
    if (option == "--rounds") settings.rounds = value;
    if (option == "--threads") settings.threads = static_cast<int>(value);
    ++i;
  }
  if (settings.folder.empty() || settings.context < kPrefill || settings.generate < 1 ||
      settings.rounds < 1) {
    fmt::print(stderr,
               "usage: context_bench FOLDER [--context N] [--generate N] [--rounds N] "
               "[--threads N]\n");
    return 2;
  }
  try {
    compare_contexts(settings);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "context_bench: {}\n", failure.what());
    return 1;
  }
  return 0;
}
