// SPDX-License-Identifier: Apache-2.0
//
// llamacpp_samples MODEL.gguf [THREADS]
// llamacpp_samples --quantize IN.gguf OUT.gguf TYPE [THREADS]
//
// What benchmarks/model_samples.cc is for nibble, for llama.cpp, with the settings of its own
// llama-bench: F16 cache, flash attention as it chooses, micro-batches of 512 and one pass per
// decoded token. Answers the same requests but "probe". The second form writes IN with matrices of
// TYPE (q8_0, q4_0, iq4_nl, q4_k_m).
#include <gguf.h>
#include <llama.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr uint32_t kContext = 4096;  // more than any request; unused cache costs nothing

class Samples {
 public:
  Samples(const std::string& file, int threads) {
    model_ = llama_model_load_from_file(file.c_str(), llama_model_default_params());
    if (!model_) throw std::runtime_error("cannot load " + file);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = kContext;
    params.n_batch = kContext;
    params.n_ubatch = 512;
    params.n_threads = params.n_threads_batch = threads;
    context_ = llama_init_from_model(model_, params);
    if (!context_) throw std::runtime_error("no context for " + file);
  }
  ~Samples() {
    llama_free(context_);
    llama_model_free(model_);
  }

  // Seconds of `steps` passes over `tokens` new tokens each, behind `behind` tokens.
  double seconds(int behind, int tokens, int steps) {
    llama_memory_clear(llama_get_memory(context_), false);
    if (behind > 0) pass(behind);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < steps; ++i) pass(tokens);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  void pass(int count) {  // logits of the last token alone
    const auto vocab = static_cast<unsigned>(llama_vocab_n_tokens(llama_model_get_vocab(model_)));
    std::vector<llama_token> ids(static_cast<size_t>(count));
    for (llama_token& id : ids) id = static_cast<llama_token>(random_() % vocab);
    if (llama_decode(context_, llama_batch_get_one(ids.data(), count)) != 0) {
      throw std::runtime_error("llama_decode failed");
    }
    llama_synchronize(context_);
  }

  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  std::mt19937 random_{0};
};

// What one decoded token reads: all but an input embedding that is not the output head as well.
size_t bytes_per_token(const std::string& file) {
  gguf_context* gguf = gguf_init_from_file(file.c_str(), {.no_alloc = true, .ctx = nullptr});
  if (!gguf) throw std::runtime_error("cannot read " + file);
  size_t total = 0;
  for (int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) total += gguf_get_tensor_size(gguf, i);
  if (gguf_find_tensor(gguf, "output.weight") >= 0) {
    total -= gguf_get_tensor_size(gguf, gguf_find_tensor(gguf, "token_embd.weight"));
  }
  gguf_free(gguf);
  return total;
}

double answer(Samples& samples, const std::string& line) {
  std::istringstream words(line);
  std::string command, behind_word;
  int count = 0, behind = 0;
  if (words >> command >> count && count > 0) {
    if (command == "prefill") return samples.seconds(0, count, 1);
    if (command == "decode" && words >> behind_word >> behind && behind_word == "behind" &&
        behind >= 0) {
      return samples.seconds(behind, 1, count);
    }
  }
  throw std::runtime_error("'" + line + "' is no request");
}

void serve(const std::string& file, int threads) {
  Samples samples(file, threads);
  std::cout << "ready " << bytes_per_token(file) << std::endl << std::fixed;
  std::cout.precision(9);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(samples, line) << std::endl;
  }
}

void quantize(const std::string& from, const std::string& to, const std::string& type,
              int threads) {
  const std::map<std::string, llama_ftype> types = {{"q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
                                                    {"q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
                                                    {"iq4_nl", LLAMA_FTYPE_MOSTLY_IQ4_NL},
                                                    {"q4_k_m", LLAMA_FTYPE_MOSTLY_Q4_K_M}};
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = threads;
  params.ftype = types.at(type);
  if (llama_model_quantize(from.c_str(), to.c_str(), &params) != 0) {
    throw std::runtime_error("cannot quantize " + from);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const bool quantizes = !args.empty() && args[0] == "--quantize";
  const size_t needed = quantizes ? 4 : 1;
  if (args.size() < needed || args.size() > needed + 1) {
    std::fprintf(stderr,
                 "usage: llamacpp_samples MODEL.gguf [THREADS]\n"
                 "       llamacpp_samples --quantize IN.gguf OUT.gguf TYPE [THREADS]\n");
    return 2;
  }
  const int threads = args.size() > needed ? std::atoi(args.back().c_str()) : 2;
  const auto log = [](ggml_log_level level, const char* text, void*) {
    if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
  };
  llama_log_set(log, nullptr);
  llama_backend_init();
  try {
    if (quantizes) {
      quantize(args[1], args[2], args[3], threads);
    } else {
      serve(args[0], threads);
    }
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "llamacpp_samples: %s\n", failure.what());
    return 1;
  }
  llama_backend_free();
  return 0;
}
