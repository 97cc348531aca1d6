// SPDX-License-Identifier: Apache-2.0
//
// How a text is cut into passes through a model, and the passes themselves: what perplexity and
// divergence share. Memory is bounded: logits exist for a few rows at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/progress.h"
#include "nibble/models/model.h"
#include "nibble/ops/context.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

struct PassOptions {
  int64_t context = 0;  // tokens of a window, or of a text before it is cut; 0: the model's context
  int64_t stride = 0;   // tokens from window to window, at most `context`; 0: equal to it
  int64_t limit = 0;    // texts of a list that count; 0: all
  // As llama.cpp's perplexity tool counts: whole windows only, each beginning with BOS where the
  // tokenizer puts one before a text, and of each the last context - context / 2 - 1 tokens.
  bool second_half = false;
  Progress* progress = nullptr;
};

// One pass over `ids`, of which ids[first..] count; first >= 1, as nothing comes before the first.
using Pass = std::function<void(std::span<const int32_t> ids, int64_t first)>;

// Windows over one token sequence: window k covers [k * stride, k * stride + context), and those of
// its tokens count that no window before it counted. The first token of a window never counts, so
// stride == context loses one token per window, as in transformers' guide to perplexity. `longest`
// is the model's context. With second_half `bos`, where there is one, takes the first place of
// every window. Throws Error on a context or stride out of range, and with second_half on a stride
// and on less than a window.
void for_each_window(std::span<const int32_t> ids, const PassOptions& options, int64_t longest,
                     const Pass& pass, std::optional<int32_t> bos = std::nullopt);

// Each text for itself, cut at `context` tokens; all tokens but the first count.
void for_each_text(const std::vector<std::vector<int32_t>>& texts, const PassOptions& options,
                   int64_t longest, const Pass& pass);

// A file: .json (a list) or .jsonl (one value a line), each value a string or an object with
// "text", goes text by text; everything else is one text in windows. The tokenizer adds its special
// tokens (BOS) to each text. Throws Error naming file and line.
void for_each_pass_of_file(const std::filesystem::path& file, const Tokenizer& tokenizer,
                           const PassOptions& options, int64_t longest, const Pass& pass);

// The model's last hidden states for the tokens of a batch, which join the cache.
Tensor hidden_states(Context& ctx, const Model& model, const TokenBatch& batch, KvCache& cache);

// Rows of logits that may exist at a time.
int64_t logits_rows_at_a_time(const Model& model);

// Throws Error for ids that the model does not have.
void check_in_vocabulary(std::span<const int32_t> ids, const ModelConfig& config);

// A model run over token sequences, piece by piece.
class ModelPasses {
 public:
  ModelPasses(const Model& model, Backend& backend);

  // Throws Error for ids outside the vocabulary.
  void begin(std::span<const int32_t> ids);

  // The hidden states of the next tokens, at most kTokensPerPass of them: ids[begin, end).
  Tensor hidden(std::span<const int32_t> ids, int64_t begin, int64_t end);

  Tensor logits(const Tensor& hidden) { return model_.head(ctx_, hidden); }
  Context& context() { return ctx_; }
  int64_t logits_rows() const { return logits_rows_at_a_time(model_); }

  // Bounds the activations of one forward pass; windows up to this long run in one piece.
  static constexpr int64_t kTokensPerPass = 2048;

 private:
  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  std::unique_ptr<KvCache> cache_;
  int64_t sequence_ = 0;
};

// Calls rows(begin, stop) for the pieces of ids' tokens that count, each piece of hidden states
// having been made by step(begin, end): row r of a piece predicts token r + 1.
void for_each_piece(std::span<const int32_t> ids, int64_t first, int64_t logits_rows,
                    const std::function<void(int64_t begin, int64_t end)>& step,
                    const std::function<void(int64_t begin, int64_t stop)>& rows);

}  // namespace nibble
