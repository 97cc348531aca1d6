// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Runs token sequences through a model and gathers the losses of chosen tokens.
class Scorer {
 public:
  Scorer(const Model& model, Backend& backend) : passes_(model, backend) {}

  // Scores ids[first..] given all ids before each; first >= 1.
  void score(std::span<const int32_t> ids, int64_t first) {
    passes_.begin(ids);
    Tensor hidden;
    int64_t from = 0;
    for_each_piece(
        ids, first, passes_.logits_rows(),
        [&](int64_t begin, int64_t end) { hidden = passes_.hidden(ids, from = begin, end); },
        [&](int64_t begin, int64_t stop) {
          score_rows(
              hidden.slice_rows(begin - from, stop - from),
              ids.subspan(static_cast<size_t>(begin + 1), static_cast<size_t>(stop - begin)));
        });
    seen_ += static_cast<int64_t>(ids.size());
    ++count_;
  }

  Pass pass() {
    return [this](std::span<const int32_t> ids, int64_t first) { score(ids, first); };
  }

  PerplexityResult result() const;

 private:
  void score_rows(const Tensor& hidden, std::span<const int32_t> targets);

  ModelPasses passes_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double sum_ = 0, sum_of_squares_ = 0;
  int64_t scored_ = 0, seen_ = 0, count_ = 0;
};

void Scorer::score_rows(const Tensor& hidden, std::span<const int32_t> targets) {
  Context& ctx = passes_.context();
  const Tensor logits = passes_.logits(hidden);
  Tensor wanted = Tensor::from<int32_t>({targets.begin(), targets.end()},
                                        {static_cast<int64_t>(targets.size())});
  wanted = ctx.backend.upload(ctx.stream, wanted);
  Tensor losses = ctx.empty(DType::kF32, {static_cast<int64_t>(targets.size())});
  ctx.backend.cross_entropy(ctx.stream, logits, wanted, losses);
  losses = ctx.backend.download(ctx.stream, losses);
  ctx.stream.synchronize();
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
  result.passes = count_;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (result.seconds > 0) result.tokens_per_second = static_cast<double>(seen_) / result.seconds;
  return result;
}

}  // namespace

PerplexityResult perplexity_of_sequence(const Model& model, Backend& backend,
                                        std::span<const int32_t> ids,
                                        const PerplexityOptions& options) {
  Scorer scorer(model, backend);
  for_each_window(ids, options, model.config().max_position_embeddings, scorer.pass());
  return scorer.result();
}

PerplexityResult perplexity_of_texts(const Model& model, Backend& backend,
                                     const std::vector<std::vector<int32_t>>& texts,
                                     const PerplexityOptions& options) {
  Scorer scorer(model, backend);
  for_each_text(texts, options, model.config().max_position_embeddings, scorer.pass());
  return scorer.result();
}

PerplexityResult perplexity_of_file(const Model& model, const Tokenizer& tokenizer,
                                    Backend& backend, const std::filesystem::path& file,
                                    const PerplexityOptions& options) {
  Scorer scorer(model, backend);
  for_each_pass_of_file(file, tokenizer, options, model.config().max_position_embeddings,
                        scorer.pass());
  return scorer.result();
}

}  // namespace nibble
