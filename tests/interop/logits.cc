// SPDX-License-Identifier: Apache-2.0
//
// nibble_logits MODEL OUT NEW_TOKENS ID...
//
// What tests/interop compares with transformers: the logits of all prompt tokens as raw float32 in
// the file OUT, and NEW_TOKENS greedy ids, separated by spaces, on stdout.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <span>
#include <vector>

#include "nibble/nibble.h"

namespace {

using namespace nibble;

int32_t likeliest(const Tensor& logits) {
  const std::span<const float> all = logits.data<float>();
  const std::span<const float> last = all.last(static_cast<size_t>(logits.shape().back()));
  return static_cast<int32_t>(std::ranges::max_element(last) - last.begin());
}

void run(const char* folder, const char* out, int new_tokens, const std::vector<int32_t>& prompt) {
  const OpenedModel opened = open_model(folder);
  const auto stream = opened.backend->new_stream();
  Context ctx{*opened.backend, *stream};
  // What is compared is the arithmetic: the other side caches in the dtype that it computes in.
  KvCache cache = opened.model->new_cache(DType::kF32);
  const int64_t sequence = cache.add_sequence();
  TokenBatch batch;
  batch.add(sequence, prompt);
  Tensor logits = opened.model->forward(ctx, batch, cache, LogitsOf::kAllTokens);
  std::ofstream(out, std::ios::binary)
      .write(static_cast<const char*>(logits.raw()), logits.nbytes());
  for (int i = 0; i < new_tokens; ++i) {
    const int32_t id = likeliest(logits);
    std::printf("%d ", id);
    TokenBatch next;
    next.add(sequence, {id});
    logits = opened.model->forward(ctx, next, cache);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  std::vector<int32_t> ids;
  for (int i = 4; i < argc; ++i) ids.push_back(std::atoi(argv[i]));
  try {
    run(argv[1], argv[2], std::atoi(argv[3]), ids);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
