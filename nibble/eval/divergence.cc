// SPDX-License-Identifier: Apache-2.0
#include "nibble/eval/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Log-probabilities of one row of logits, and its most probable token.
size_t log_softmax(std::span<const float> logits, std::vector<double>& out) {
  const size_t top = static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
  double sum = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) {
    out[i] = static_cast<double>(logits[i]) - static_cast<double>(logits[top]);
    sum += std::exp(out[i]);
  }
  const double log_sum = std::log(sum);
  for (double& x : out) x -= log_sum;
  return top;
}

// One of the two models and the time that it took.
struct Side {
  explicit Side(ModelOnBackend at) : passes(at.model, at.backend) {}

  void step(std::span<const int32_t> ids, int64_t begin, int64_t end) {
    const auto start = Clock::now();
    hidden = passes.hidden(ids, begin, end);
    passes.context().stream.synchronize();
    seconds += seconds_since(start);
  }

  Tensor logits(int64_t begin, int64_t stop) {
    const auto start = Clock::now();
    Context& ctx = passes.context();
    Tensor rows = passes.logits(hidden.slice_rows(begin, stop));
    rows = ctx.backend.download(ctx.stream, rows);
    ctx.stream.synchronize();
    seconds += seconds_since(start);
    return rows;
  }

  ModelPasses passes;
  Tensor hidden;
  double seconds = 0, nll = 0;
};

class Comparison {
 public:
  Comparison(ModelOnBackend model, ModelOnBackend reference)
      : model_(model), reference_(reference) {
    const int64_t vocab = model.model.config().vocab_size;
    if (vocab == reference.model.config().vocab_size) return;
    throw Error("the models have different vocabularies")
        .expected(
            fmt::format("{} tokens, as the reference has", reference.model.config().vocab_size))
        .got(fmt::format("{}", vocab));
  }

  Pass pass() {
    return [this](std::span<const int32_t> ids, int64_t first) { compare(ids, first); };
  }

  DivergenceResult result();

 private:
  void compare(std::span<const int32_t> ids, int64_t first) {
    model_.passes.begin(ids);
    reference_.passes.begin(ids);
    int64_t from = 0;
    for_each_piece(
        ids, first, model_.passes.logits_rows(),
        [&](int64_t begin, int64_t end) {
          from = begin;
          model_.step(ids, begin, end);
          reference_.step(ids, begin, end);
        },
        [&](int64_t begin, int64_t stop) {
          compare_rows(model_.logits(begin - from, stop - from),
                       reference_.logits(begin - from, stop - from),
                       ids.subspan(static_cast<size_t>(begin + 1)));
        });
    seen_ += static_cast<int64_t>(ids.size());
  }

  void compare_rows(const Tensor& got, const Tensor& want, std::span<const int32_t> targets) {
    const auto vocab = static_cast<size_t>(got.dim(1));
    std::vector<double> q(vocab), p(vocab);
    for (size_t r = 0; r < static_cast<size_t>(got.dim(0)); ++r) {
      const size_t top = log_softmax(got.data<float>().subspan(r * vocab, vocab), q);
      same_top_ += top == log_softmax(want.data<float>().subspan(r * vocab, vocab), p);
      double kl = 0.0;
      for (size_t i = 0; i < vocab; ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
      kl_.push_back(kl);
      const auto target = static_cast<size_t>(targets[r]);
      model_.nll -= q[target];
      reference_.nll -= p[target];
    }
  }

  Side model_, reference_;
  std::vector<double> kl_;
  int64_t same_top_ = 0, seen_ = 0;
};

DivergenceResult Comparison::result() {
  if (kl_.empty()) throw Error("nothing to score").expected("a text of at least two tokens");
  DivergenceResult result;
  const double n = static_cast<double>(kl_.size());
  double sum = 0, squares = 0;
  for (const double kl : kl_) sum += kl, squares += kl * kl;
  result.mean_kl = sum / n;
  const double variance = std::max(0.0, squares / n - result.mean_kl * result.mean_kl);
  if (kl_.size() > 1) result.kl_standard_error = std::sqrt(variance / (n - 1));
  std::ranges::sort(kl_);
  const auto at = [&](double share) {
    return kl_[static_cast<size_t>(share * static_cast<double>(kl_.size() - 1))];
  };
  result.median_kl = at(0.5);
  result.percentile_99_kl = at(0.99);
  result.max_kl = kl_.back();
  result.same_top = static_cast<double>(same_top_) / n;
  result.perplexity = std::exp(model_.nll / n);
  result.reference_perplexity = std::exp(reference_.nll / n);
  result.tokens = static_cast<int64_t>(kl_.size());
  result.tokens_per_second = static_cast<double>(seen_) / model_.seconds;
  result.reference_tokens_per_second = static_cast<double>(seen_) / reference_.seconds;
  return result;
}

}  // namespace

DivergenceResult divergence_of_sequence(ModelOnBackend model, ModelOnBackend reference,
                                        std::span<const int32_t> ids, const PassOptions& options) {
  Comparison comparison(model, reference);
  for_each_window(ids, options, model.model.config().max_position_embeddings, comparison.pass());
  return comparison.result();
}

DivergenceResult divergence_of_file(ModelOnBackend model, ModelOnBackend reference,
                                    const Tokenizer& tokenizer, const std::filesystem::path& file,
                                    const PassOptions& options) {
  Comparison comparison(model, reference);
  for_each_pass_of_file(file, tokenizer, options, model.model.config().max_position_embeddings,
                        comparison.pass());
  return comparison.result();
}

}  // namespace nibble
