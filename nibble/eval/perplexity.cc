// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "nibble/base/atomic_file.h"
#include "nibble/base/error.h"
#include "nibble/eval/text_file.h"

namespace nibble {
namespace {

// Bounds the activations of one forward pass; windows up to this long run in one piece.
constexpr int64_t kTokensPerPass = 2048;
// Bounds the logits that exist at a time: 64 rows of a vocabulary of 150,000.
constexpr int64_t kLogitsBytes = int64_t{40} << 20;

// Runs token sequences through a model and gathers the losses of chosen tokens.
class Scorer {
 public:
  Scorer(const Model& model, Backend& backend)
      : model_(model), stream_(backend.new_stream()), ctx_{backend, *stream_} {
    const int64_t row_bytes = std::max<int64_t>(1, model.config().vocab_size) * 4;
    logits_rows_ = std::clamp<int64_t>(kLogitsBytes / row_bytes, 1, kTokensPerPass);
  }

  // Scores ids[first..] given all ids before each; first >= 1.
  void score(std::span<const int32_t> ids, int64_t first);

  PerplexityResult result() const;

 private:
  void score_rows(const Tensor& hidden, std::span<const int32_t> targets);

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  int64_t logits_rows_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double sum_ = 0, sum_of_squares_ = 0;
  int64_t scored_ = 0, seen_ = 0, passes_ = 0;
};

void Scorer::score(std::span<const int32_t> ids, int64_t first) {
  const int64_t length = static_cast<int64_t>(ids.size());
  for (const int32_t id : ids) {
    if (id >= 0 && id < model_.config().vocab_size) continue;
    throw Error("a token of the text is not in the model's vocabulary")
        .expected(fmt::format("ids 0 to {}", model_.config().vocab_size - 1))
        .got(fmt::format("{}", id));
  }
  KvCache cache = model_.new_cache();
  const int64_t sequence = cache.add_sequence();
  // The last token predicts nothing that is known, so it need not run.
  for (int64_t begin = 0; begin < length - 1; begin += kTokensPerPass) {
    const int64_t end = std::min(length - 1, begin + kTokensPerPass);
    TokenBatch batch;
    batch.add(sequence, {ids.begin() + begin, ids.begin() + end});
    Tensor hidden = model_.embed(ctx_, batch);
    for (int64_t i = 0; i < model_.block_count(); ++i) {
      hidden = model_.block(ctx_, i, hidden, batch, cache);
    }
    cache.advance(batch);
    // Row r predicts token r + 1.
    for (int64_t row = std::max(begin, first - 1); row < end; row += logits_rows_) {
      const int64_t stop = std::min(end, row + logits_rows_);
      score_rows(hidden.slice_rows(row - begin, stop - begin),
                 ids.subspan(static_cast<size_t>(row + 1), static_cast<size_t>(stop - row)));
    }
  }
  seen_ += length;
  ++passes_;
}

void Scorer::score_rows(const Tensor& hidden, std::span<const int32_t> targets) {
  const Tensor logits = model_.head(ctx_, hidden);
  Tensor wanted = Tensor::from<int32_t>({targets.begin(), targets.end()},
                                        {static_cast<int64_t>(targets.size())});
  wanted = ctx_.backend.upload(ctx_.stream, wanted);
  Tensor losses = ctx_.empty(DType::kF32, {static_cast<int64_t>(targets.size())});
  ctx_.backend.cross_entropy(ctx_.stream, logits, wanted, losses);
  losses = ctx_.backend.download(ctx_.stream, losses);
  ctx_.stream.synchronize();
  for (const float loss : losses.data<float>()) {
    sum_ += loss;
    sum_of_squares_ += static_cast<double>(loss) * loss;
  }
  scored_ += static_cast<int64_t>(targets.size());
}

PerplexityResult Scorer::result() const {
  if (scored_ == 0) throw Error("nothing to score").expected("a text of at least two tokens");
  PerplexityResult result;
  const double n = static_cast<double>(scored_);
  result.nll = sum_ / n;
  result.perplexity = std::exp(result.nll);
  // Delta method: d exp(m) = exp(m) dm.
  const double variance = std::max(0.0, sum_of_squares_ / n - result.nll * result.nll);
  if (scored_ > 1) result.standard_error = result.perplexity * std::sqrt(variance / (n - 1));
  result.tokens = scored_;
  result.passes = passes_;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (result.seconds > 0) result.tokens_per_second = static_cast<double>(seen_) / result.seconds;
  return result;
}

int64_t context_of(const Model& model, const PerplexityOptions& options) {
  const int64_t longest = model.config().max_position_embeddings;
  if (options.context == 0) return longest;
  if (options.context < 2 || options.context > longest) {
    throw Error("bad context")
        .expected(fmt::format("2 to {} tokens (max_position_embeddings)", longest))
        .got(fmt::format("{}", options.context));
  }
  return options.context;
}

}  // namespace

PerplexityResult perplexity_of_sequence(const Model& model, Backend& backend,
                                        std::span<const int32_t> ids,
                                        const PerplexityOptions& options) {
  const int64_t context = context_of(model, options);
  const int64_t stride = options.stride == 0 ? context : options.stride;
  if (stride < 1 || stride > context) {
    throw Error("bad stride")
        .expected(fmt::format("1 to {} tokens (the context)", context))
        .got(fmt::format("{}", stride));
  }
  const int64_t length = static_cast<int64_t>(ids.size());
  Scorer scorer(model, backend);
  if (options.progress) options.progress->begin("perplexity", length);
  int64_t scored_end = 0;  // of all tokens before it, none is scored again
  for (int64_t begin = 0; begin < length; begin += stride) {
    const int64_t end = std::min(length, begin + context);
    const auto window = ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    scorer.score(window, std::max<int64_t>(1, scored_end - begin));
    if (options.progress) options.progress->advance(end - scored_end, {});
    scored_end = end;
    if (end == length) break;
  }
  if (options.progress) options.progress->end();
  return scorer.result();
}

PerplexityResult perplexity_of_texts(const Model& model, Backend& backend,
                                     const std::vector<std::vector<int32_t>>& texts,
                                     const PerplexityOptions& options) {
  const size_t context = static_cast<size_t>(context_of(model, options));
  const size_t count =
      options.limit > 0 ? std::min(texts.size(), static_cast<size_t>(options.limit)) : texts.size();
  Scorer scorer(model, backend);
  if (options.progress) options.progress->begin("perplexity", static_cast<int64_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const std::span<const int32_t> text(texts[i]);
    scorer.score(text.first(std::min(text.size(), context)), 1);
    if (options.progress) options.progress->advance(1, {});
  }
  if (options.progress) options.progress->end();
  return scorer.result();
}

PerplexityResult perplexity_of_file(const Model& model, const Tokenizer& tokenizer,
                                    Backend& backend, const std::filesystem::path& file,
                                    const PerplexityOptions& options) {
  if (!is_text_list(file)) {
    return perplexity_of_sequence(model, backend, tokenizer.encode(read_text_file(file)), options);
  }
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& text : read_text_list(file, options.limit)) {
    texts.push_back(tokenizer.encode(text));
  }
  return perplexity_of_texts(model, backend, texts, options);
}

}  // namespace nibble
