// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/loss_sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "nibble/calibrate/block_run.h"
#include "nibble/quant/gptq.h"

namespace nibble {
namespace {

std::vector<std::vector<int32_t>> cut(std::span<const std::vector<int32_t>> sequences,
                                      const LossSensitivityOptions& options) {
  std::vector<std::vector<int32_t>> result;
  for (const std::vector<int32_t>& ids : sequences) {
    if (static_cast<int64_t>(result.size()) == options.sequences) break;
    const auto tokens = std::min<size_t>(ids.size(), static_cast<size_t>(options.tokens));
    result.emplace_back(ids.begin(), ids.begin() + static_cast<int64_t>(tokens));
  }
  return result;
}

// Errors large enough to tell from those of float32, and a grid that any shape has.
GptqScheme disturbing_scheme() {
  GptqConfig config;
  config.format = "gptq_v2";
  config.bits = 3;
  config.group_size = 64;
  config.sym = false;
  return GptqScheme(config);
}

// The logarithm of the sum of exponentials.
double log_sum(std::span<const float> logits) {
  const float largest = std::ranges::max(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

// Which Linears a block runs.
class BlockRecorder final : public LinearObserver {
 public:
  void on_linear(Context&, const Tensor&, std::span<const LinearOperands> operands) override {
    for (const LinearOperands& operand : operands) seen.insert(&operand.weight);
  }

  std::set<const PreparedWeight*> seen;
};

class SensitivityRun {
 public:
  SensitivityRun(Model& model, Backend& backend, ThreadPool& pool,
                 std::span<const std::vector<int32_t>> sequences, const InputSquares& squares,
                 const LossSensitivityOptions& options)
      : model_(model),
        backend_(backend),
        pool_(pool),
        squares_(squares),
        options_(options),
        sequences_(cut(sequences, options)),
        run_(model, backend, sequences_, {}) {}

  InputSquares run() {
    if (options_.progress) {
      options_.progress->begin("disturbing", static_cast<int64_t>(squares_.size()));
    }
    for (size_t s = 0; s < sequences_.size(); ++s) exact_.push_back(run_.logits(s));
    for (; !run_.is_done(); run_.finish()) {
      BlockRecorder recorder;
      run_.observe_first(recorder);
      disturb_all(recorder.seen);
      run_.advance();
    }
    BlockRecorder recorder;
    run_.observe_head(recorder);
    disturb_all(recorder.seen);
    if (options_.progress) options_.progress->end();
    return std::move(result_);
  }

 private:
  void disturb_all(const std::set<const PreparedWeight*>& weights) {
    model_.visit([&](const std::string& path, Linear& linear) {
      if (!weights.contains(&linear.weight()) || !squares_.contains(path)) return;
      disturb(path, linear);
      if (options_.progress) options_.progress->advance(1, path);
    });
  }

  void disturb(const std::string& path, Linear& linear) {
    const std::shared_ptr<const PreparedWeight> own = linear.shared_weight();
    const Tensor& dense = own->weight().as_dense().values;
    Weight packed = disturbance_.quantize(dense, pool_);
    std::vector<double> weighed = squares_.at(path);
    const double error = weight_error(packed, dense, weighed, pool_);
    linear.set_weight(backend_.prepare(std::move(packed)));
    const double factor = error > 0 ? divergence() / error : 0.0;
    linear.set_weight(own);
    for (double& square : weighed) square *= factor;
    result_.emplace(path, std::move(weighed));
  }

  // Nats a token, from the model as it is to the disturbed one.
  double divergence() {
    double sum = 0;
    int64_t tokens = 0;
    for (size_t s = 0; s < sequences_.size(); ++s) {
      const Tensor disturbed = run_.logits(s);
      const int64_t vocab = disturbed.dim(1);
      std::vector<double> rows(static_cast<size_t>(disturbed.dim(0)));
      pool_.parallel_for(disturbed.dim(0), 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const auto from = static_cast<size_t>(t * vocab), count = static_cast<size_t>(vocab);
          rows[static_cast<size_t>(t)] =
              divergence_of(exact_[s].data<float>().subspan(from, count),
                            disturbed.data<float>().subspan(from, count));
        }
      });
      sum = std::accumulate(rows.begin(), rows.end(), sum);
      tokens += disturbed.dim(0);
    }
    return std::max(0.0, sum / static_cast<double>(tokens));  // rounding may leave less than none
  }

  static double divergence_of(std::span<const float> exact, std::span<const float> disturbed) {
    const double exact_sum = log_sum(exact), disturbed_sum = log_sum(disturbed);
    double sum = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      const double log_p = exact[i] - exact_sum;
      sum += std::exp(static_cast<float>(log_p)) * (log_p - (disturbed[i] - disturbed_sum));
    }
    return sum;
  }

  Model& model_;
  Backend& backend_;
  ThreadPool& pool_;
  const InputSquares& squares_;
  const LossSensitivityOptions& options_;
  GptqScheme disturbance_ = disturbing_scheme();
  std::vector<std::vector<int32_t>> sequences_;
  BlockRun run_;
  std::vector<Tensor> exact_;  // logits of the model as it is, [tokens, vocab] of each sequence
  InputSquares result_;
};

}  // namespace

InputSquares weigh_by_loss(Model& model, Backend& backend, ThreadPool& pool,
                           std::span<const std::vector<int32_t>> sequences,
                           const InputSquares& squares, const LossSensitivityOptions& options) {
  return SensitivityRun(model, backend, pool, sequences, squares, options).run();
}

}  // namespace nibble
