// SPDX-License-Identifier: Apache-2.0
//
// model_bench FOLDER [--prompt N] [--generate N] [--rounds N] [--threads N]
//
// Whole-model speed of one checkpoint under every scheme, as a Markdown table: decode (one token at
// a time behind a short prompt) with the weight bytes that each token reads as a share of the
// machine's read bandwidth, and prefill with its share of the multiply-add peak. Weights are
// quantized while loading. All schemes are measured in each round, one after the other, with the
// machine's limits probed around every sample, so that a slow spell of the machine touches all
// alike; figures are medians over the rounds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "benchmarks/machine_limits.h"
#include "nibble/base/random.h"
#include "nibble/models/open_model.h"

namespace {

using namespace nibble;

struct Settings {
  std::string folder;
  int64_t prompt = 512, generate = 32, rounds = 5;
  int threads = 0;
};

struct Candidate {
  std::string name;
  OpenedModel opened;
  int64_t bytes_per_token = 0;  // every Linear is read once per decoded token
  int64_t flops_per_token = 0;  // a multiply and an add per weight
  std::vector<double> decode, decode_share, prefill, prefill_share;  // one entry per round
};

OpenOptions options_for(const std::string& name) {
  OpenOptions options;
  BitsAndBytesConfig config;
  if (name.starts_with("int8") || name.starts_with("LLM.int8")) {
    config.load_in_8bit = true;
    if (name == "int8") options.activation = ActivationMode::kFloat;
    options.quantization = config;
  } else if (name.starts_with("nf4")) {
    config.load_in_4bit = true;
    config.bnb_4bit_quant_type = "nf4";
    config.bnb_4bit_use_double_quant = name.ends_with("double quant");
    options.quantization = config;
  }
  return options;
}

Candidate open_candidate(const std::string& name, const Settings& settings,
                         const std::shared_ptr<ThreadPool>& pool) {
  OpenOptions options = options_for(name);
  options.pool = pool;
  Candidate candidate;
  candidate.name = name;
  candidate.opened = open_model(settings.folder, std::move(options));
  candidate.opened.model->visit([&](const std::string&, const Linear& linear) {
    const Weight& weight = linear.weight().weight();
    candidate.bytes_per_token += weight.total_bytes();
    candidate.flops_per_token += 2 * weight.rows() * weight.cols();
  });
  return candidate;
}

std::vector<int32_t> random_ids(int64_t count, int64_t vocab, Random& random) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocab));
  }
  return ids;
}

double seconds_of(auto&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Forward passes over fresh caches; returns the seconds of the timed part.
double run(const OpenedModel& opened, int64_t prompt, int64_t generate, Random& random) {
  const Model& model = *opened.model;
  const std::unique_ptr<Stream> stream = opened.backend->new_stream();
  Context ctx{*opened.backend, *stream};
  KvCache cache = model.new_cache();
  const int64_t sequence = cache.add_sequence();
  const auto forward = [&](int64_t tokens) {
    TokenBatch batch;
    batch.add(sequence, random_ids(tokens, model.config().vocab_size, random));
    model.forward(ctx, batch, cache);
    stream->synchronize();
  };
  const double prefill = seconds_of([&] { forward(prompt); });
  if (generate == 0) return prefill;
  return seconds_of([&] {
    for (int64_t i = 0; i < generate; ++i) forward(1);
  });
}

void measure(Candidate& candidate, const Settings& settings, ThreadPool& pool, Random& random) {
  const bench::MachineLimits before = bench::measure_limits(pool);
  const double decode =
      static_cast<double>(settings.generate) / run(candidate.opened, 16, settings.generate, random);
  const double prefill =
      static_cast<double>(settings.prompt) / run(candidate.opened, settings.prompt, 0, random);
  const bench::MachineLimits after = bench::measure_limits(pool);
  const double bandwidth = (before.bytes_per_second + after.bytes_per_second) / 2;
  const double peak = (before.flops_per_second + after.flops_per_second) / 2;
  candidate.decode.push_back(decode);
  candidate.decode_share.push_back(decode * static_cast<double>(candidate.bytes_per_token) /
                                   bandwidth);
  candidate.prefill.push_back(prefill);
  candidate.prefill_share.push_back(prefill * static_cast<double>(candidate.flops_per_token) /
                                    peak);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void print_table(const Settings& settings, std::vector<Candidate>& candidates, ThreadPool& pool) {
  const bench::MachineLimits limits = bench::measure_limits(pool);
  fmt::print(
      "{} threads; at the end the machine reads {:.1f} GB/s and multiplies {:.0f} GFLOP/s\n\n",
      pool.threads(), limits.bytes_per_second / 1e9, limits.flops_per_second / 1e9);
  fmt::print(
      "| weights | MB per token | decode tokens/s | of bandwidth | prefill {} tokens/s | of "
      "peak | decode against plain |\n|---|---|---|---|---|---|---|\n",
      settings.prompt);
  for (const Candidate& c : candidates) {
    std::vector<double> ratios;
    for (size_t i = 0; i < c.decode.size(); ++i) {
      ratios.push_back(c.decode[i] / candidates.front().decode[i]);
    }
    fmt::print("| {} | {:.1f} | {:.1f} | {:.0f} % | {:.0f} | {:.0f} % | {:.2f} x |\n", c.name,
               static_cast<double>(c.bytes_per_token) / 1e6, median(c.decode),
               100 * median(c.decode_share), median(c.prefill), 100 * median(c.prefill_share),
               median(ratios));
  }
}

void compare_schemes(const Settings& settings) {
  const auto pool = std::make_shared<ThreadPool>(settings.threads);
  std::vector<Candidate> candidates;
  for (const char* name : {"plain", "int8", "LLM.int8()", "nf4", "nf4, double quant"}) {
    candidates.push_back(open_candidate(name, settings, pool));
  }
  Random random(0);
  for (Candidate& candidate : candidates) run(candidate.opened, 16, 4, random);  // warm up
  for (int64_t round = 0; round < settings.rounds; ++round) {
    for (Candidate& candidate : candidates) measure(candidate, settings, *pool, random);
    fmt::print(stderr, "round {} of {}\n", round + 1, settings.rounds);
  }
  print_table(settings, candidates, *pool);
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
        "usage: model_bench FOLDER [--prompt N] [--generate N] [--rounds N] [--threads N]\n");
    return 2;
  }
  try {
    compare_schemes(settings);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "model_bench: {}\n", failure.what());
    return 1;
  }
  return 0;
}
