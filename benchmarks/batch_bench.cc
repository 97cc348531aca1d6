// SPDX-License-Identifier: Apache-2.0
//
// batch_bench FOLDER [--prompt N] [--generate N] [--rounds N] [--threads N]
//
// Decode speed of one model with 1, 2, 4, 8 and 16 sequences at once, as a Markdown table. Every
// round measures all batch sizes one after the other, so that a slow spell of the machine touches
// all alike; figures are medians over the rounds. Greedy, behind prompts of random ids.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/eval/speed_samples.h"
#include "nibble/generate/scheduler.h"
#include "nibble/models/open_model.h"

namespace {

using namespace nibble;

constexpr int64_t kBatches[] = {1, 2, 4, 8, 16};

struct Settings {
  std::string folder;
  int64_t prompt = 16, generate = 32, rounds = 5;
  int threads = 0;
};

std::vector<int32_t> random_ids(int64_t count, int64_t vocab, Random& random) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocab));
  }
  return ids;
}

// Seconds of one pass that decodes `batch` tokens.
double seconds_per_pass(const OpenedModel& opened, int64_t batch, const Settings& settings,
                        Random& random) {
  Scheduler scheduler(*opened.model, *opened.backend,
                      {.max_sequences = batch, .max_kept_sequences = 0});
  GenerationConfig config;
  config.max_new_tokens = settings.generate + 1;  // the first comes from the prompt
  for (int64_t i = 0; i < batch; ++i) {
    scheduler.add(random_ids(settings.prompt, opened.model->config().vocab_size, random), config);
  }
  scheduler.step(batch * settings.prompt);
  const auto start = std::chrono::steady_clock::now();
  while (!scheduler.idle()) scheduler.step();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return seconds.count() / static_cast<double>(settings.generate);
}

void compare_batches(const Settings& settings) {
  OpenOptions options;
  options.pool = std::make_shared<ThreadPool>(settings.threads);
  const OpenedModel opened = open_model(settings.folder, options);
  Random random(0);
  seconds_per_pass(opened, 1, settings, random);  // warm up
  std::vector<double> seconds[std::size(kBatches)], speedups[std::size(kBatches)];
  for (int64_t round = 0; round < settings.rounds; ++round) {
    for (size_t i = 0; i < std::size(kBatches); ++i) {
      seconds[i].push_back(seconds_per_pass(opened, kBatches[i], settings, random));
      speedups[i].push_back(static_cast<double>(kBatches[i]) * seconds[0].back() /
                            seconds[i].back());
    }
    fmt::print(stderr, "round {} of {}\n", round + 1, settings.rounds);
  }
  fmt::print(
      "{} threads\n\n| sequences | ms per pass | decode tokens/s | against one |\n"
      "|---|---|---|---|\n",
      options.pool->threads());
  for (size_t i = 0; i < std::size(kBatches); ++i) {
    const double pass = median(seconds[i]);
    fmt::print("| {} | {:.1f} | {:.1f} | {:.2f} x |\n", kBatches[i], 1e3 * pass,
               static_cast<double>(kBatches[i]) / pass, median(speedups[i]));
  }
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
    if (option == "--prompt") settings.prompt = value;
    if (option == "--generate") settings.generate = value;
    if (option == "--rounds") settings.rounds = value;
    if (option == "--threads") settings.threads = static_cast<int>(value);
    ++i;
  }
  if (settings.folder.empty() || settings.prompt < 1 || settings.generate < 1 ||
      settings.rounds < 1) {
    fmt::print(
        stderr,
        "usage: batch_bench FOLDER [--prompt N] [--generate N] [--rounds N] [--threads N]\n");
    return 2;
  }
  try {
    compare_batches(settings);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "batch_bench: {}\n", failure.what());
    return 1;
  }
  return 0;
}
