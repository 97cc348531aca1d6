// SPDX-License-Identifier: Apache-2.0
//
// model_samples FOLDER SCHEME [THREADS]
//
// Takes speed samples of one model on request, so that another program can let several models and
// engines take turns (benchmarks/peers/compare_models.py). SCHEME: plain, int8 (float activations),
// LLM.int8(), nf4, nf4-double, nf4-a8 (int8 activations); with "+head" the output head, which stays
// in 16 bits otherwise, is quantized, too. Once the model is loaded it prints
//
//   ready BYTES        weight bytes that each decoded token reads
//
// and then answers each line of standard input with one line, until the input ends:
//
//   prefill N          seconds of one pass over N new tokens that ends with one token's logits
//   decode N behind M  seconds of N passes over one token each, behind M tokens
//   probe              bytes per second read and float operations per second of this machine, now
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "nibble/models/open_model.h"

namespace {

using namespace nibble;

OpenOptions options_for(std::string scheme) {
  OpenOptions options;
  BitsAndBytesConfig config;
  constexpr std::string_view kHead = "+head";
  if (scheme.ends_with(kHead)) {
    scheme.resize(scheme.size() - kHead.size());
    config.llm_int8_skip_modules = {"none"};  // a list of one's own takes the place of the usual
  }
  if (scheme == "int8" || scheme == "LLM.int8()") {
    config.load_in_8bit = true;
    if (scheme == "int8") options.activation = ActivationMode::kFloat;
    options.quantization = config;
  } else if (scheme == "nf4" || scheme == "nf4-double" || scheme == "nf4-a8") {
    config.load_in_4bit = true;
    config.bnb_4bit_quant_type = "nf4";
    config.bnb_4bit_use_double_quant = scheme == "nf4-double";
    if (scheme == "nf4-a8") options.activation = ActivationMode::kInt8;
    options.quantization = config;
  } else if (scheme != "plain") {
    throw Error("scheme '" + scheme +
                "' is none of plain, int8, LLM.int8(), nf4, nf4-double, nf4-a8");
  }
  return options;
}

class Samples {
 public:
  explicit Samples(OpenedModel opened) : opened_(std::move(opened)) {}

  // Every Linear is read once for each decoded token.
  int64_t bytes_per_token() const {
    int64_t bytes = 0;
    opened_.model->visit([&](const std::string&, const Linear& linear) {
      bytes += linear.weight().weight().total_bytes();
    });
    return bytes;
  }

  // The one place that knows how the machine's limits are measured.
  std::string probe() const {
    const DeviceLimits limits = opened_.backend->measure_limits();
    return fmt::format("{:.4e} {:.4e}", limits.read_bytes_per_second,
                       2 * limits.multiply_adds_per_second);
  }

  // Seconds of `steps` passes over `tokens` new tokens each, behind `behind` tokens.
  double seconds(int64_t behind, int64_t tokens, int64_t steps) {
    const std::unique_ptr<Stream> stream = opened_.backend->new_stream();
    Context ctx{*opened_.backend, *stream};
    KvCache cache = opened_.model->new_cache();
    const int64_t sequence = cache.add_sequence();
    const auto pass = [&](int64_t count) {
      TokenBatch batch;
      batch.add(sequence, random_ids(count));
      opened_.model->forward(ctx, batch, cache);
      stream->synchronize();
    };
    if (behind > 0) pass(behind);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < steps; ++i) pass(tokens);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  std::vector<int32_t> random_ids(int64_t count) {
    const auto vocab = static_cast<uint64_t>(opened_.model->config().vocab_size);
    std::vector<int32_t> ids(static_cast<size_t>(count));
    for (int32_t& id : ids) id = static_cast<int32_t>(random_.next() % vocab);
    return ids;
  }

  OpenedModel opened_;
  Random random_{0};
};

std::string answer(Samples& samples, const std::string& line) {
  std::istringstream words(line);
  std::string command, behind_word;
  int64_t count = 0, behind = 0;
  words >> command;
  if (command == "probe") return samples.probe();
  if (words >> count && count > 0) {
    if (command == "prefill") return fmt::format("{:.9f}", samples.seconds(0, count, 1));
    if (command == "decode" && words >> behind_word >> behind && behind_word == "behind" &&
        behind >= 0) {
      return fmt::format("{:.9f}", samples.seconds(behind, 1, count));
    }
  }
  throw Error("'" + line + "' is no request");
}

void serve(const std::string& folder, const std::string& scheme, int threads) {
  OpenOptions options = options_for(scheme);
  options.pool = std::make_shared<ThreadPool>(threads);
  Samples samples(open_model(folder, std::move(options)));
  std::cout << "ready " << samples.bytes_per_token() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(samples, line) << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: model_samples FOLDER SCHEME [THREADS]\n");
    return 2;
  }
  try {
    serve(argv[1], argv[2], argc > 3 ? std::atoi(argv[3]) : 0);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "model_samples: {}\n", failure.what());
    return 1;
  }
  return 0;
}
