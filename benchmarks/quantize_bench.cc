// SPDX-License-Identifier: Apache-2.0
//
// quantize_bench CHECKPOINT [--prefix P] [--rounds N] [--threads N]
//
// Input bytes per second of quantizing the matrices of a checkpoint (those whose names begin with
// P), in memory: no file is written. One line of JSON per scheme: seconds of each round and the
// speed of the median round. benchmarks/peers/quantize_speed.py sets it beside bitsandbytes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/io/checkpoint.h"
#include "nibble/quant/registry.h"

namespace {

using namespace nibble;

struct Options {
  std::string checkpoint, prefix;
  int rounds = 5, threads = 0;
};

std::vector<BitsAndBytesConfig> configs() {
  std::vector<BitsAndBytesConfig> all(4);
  for (size_t i = 0; i < 3; ++i) {
    all[i].load_in_4bit = true;
    all[i].bnb_4bit_quant_type = i == 2 ? "fp4" : "nf4";
    all[i].bnb_4bit_use_double_quant = i == 1;
  }
  all[3].load_in_8bit = true;
  return all;
}

std::vector<Tensor> matrices(const Options& options) {
  const Checkpoint checkpoint = Checkpoint::open(options.checkpoint);
  std::vector<Tensor> tensors;
  for (const std::string& name : checkpoint.names()) {
    const TensorInfo& info = checkpoint.info(name);
    if (name.starts_with(options.prefix) && info.shape.size() == 2 && is_float(info.dtype)) {
      tensors.push_back(checkpoint.tensor(name));
    }
  }
  return tensors;
}

void measure(const Options& options) {
  using Clock = std::chrono::steady_clock;
  ThreadPool pool(options.threads);
  const std::vector<Tensor> tensors = matrices(options);
  int64_t bytes = 0;
  for (const Tensor& tensor : tensors) bytes += tensor.nbytes();
  for (const BitsAndBytesConfig& config : configs()) {
    const auto scheme = make_scheme(config);
    std::vector<double> seconds;
    for (int round = -1; round < options.rounds; ++round) {
      const auto start = Clock::now();
      for (const Tensor& tensor : tensors) scheme->quantize(tensor, pool);
      const double taken = std::chrono::duration<double>(Clock::now() - start).count();
      if (round >= 0) seconds.push_back(taken);  // the first one reads the file
    }
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    const std::string name =
        std::string(scheme->name()) + (config.bnb_4bit_use_double_quant ? " double" : "");
    fmt::print("{}\n", nlohmann::ordered_json(
                           {{"scheme", name},
                            {"threads", pool.threads()},
                            {"bytes", bytes},
                            {"seconds", seconds},
                            {"GB/s", static_cast<double>(bytes) / 1e9 / sorted[sorted.size() / 2]}})
                           .dump());
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (argument == "--prefix") {
      options.prefix = value, ++i;
    } else if (argument == "--rounds") {
      options.rounds = std::max(1, std::atoi(value)), ++i;
    } else if (argument == "--threads") {
      options.threads = std::max(0, std::atoi(value)), ++i;
    } else {
      options.checkpoint = argument;
    }
  }
  if (options.checkpoint.empty()) {
    fmt::print(stderr,
               "usage: quantize_bench CHECKPOINT [--prefix P] [--rounds N] [--threads N]\n");
    return 2;
  }
  try {
    measure(options);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "quantize_bench: {}\n", failure.what());
    return 1;
  }
  return 0;
}
