// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/gptq_calibration.h"

#include <memory>
#include <optional>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/ops/linear.h"
#include "nibble/quant/hessian.h"

namespace nibble {
namespace {

// Weights that meet the same inputs in one call, in the order of the calls.
using Stage = std::vector<const PreparedWeight*>;

class StageRecorder final : public LinearObserver {
 public:
  void on_linear(Context&, const Tensor&, std::span<const LinearOperands> operands) override {
    Stage& stage = stages.emplace_back();
    for (const LinearOperands& operand : operands) stage.push_back(&operand.weight);
  }

  std::vector<Stage> stages;
};

class HessianObserver final : public LinearObserver {
 public:
  HessianObserver(const PreparedWeight& weight, ThreadPool& pool)
      : hessian(weight.weight().cols()), weight_(weight), pool_(pool) {}

  void on_linear(Context& ctx, const Tensor& x, std::span<const LinearOperands> operands) override {
    if (&operands.front().weight != &weight_) return;
    hessian.add(ctx.backend.download(ctx.stream, x), pool_);
  }

  Hessian hessian;

 private:
  const PreparedWeight& weight_;
  ThreadPool& pool_;
};

class GptqRun {
 public:
  GptqRun(Model& model, Backend& backend, ThreadPool& pool,
          std::span<const std::vector<int32_t>> sequences, const GptqCalibrationOptions& options)
      : model_(model),
        pool_(pool),
        options_(options),
        stream_(backend.new_stream()),
        ctx_{backend, *stream_},
        cache_(model.new_cache(DType::kF32)),
        slot_(cache_.add_sequence()) {
    for (const std::vector<int32_t>& ids : sequences) {
      batches_.emplace_back().add(slot_, ids);
      hidden_.push_back(model_.embed(ctx_, batches_.back()));
    }
    model_.visit([this](const std::string& path, Linear& linear) {
      if (!options_.modules.contains(path)) return;
      targets_.emplace(&linear.weight(), Target{path, &linear});
    });
  }

  GptqCalibration run() {
    if (options_.progress) {
      options_.progress->begin("calibrating", static_cast<int64_t>(targets_.size()));
    }
    for (int64_t block = 0; block < model_.block_count(); ++block) {
      StageRecorder recorder;
      observe(recorder, [&] { run_block(block, 0); });
      for (const Stage& stage : recorder.stages) quantize(stage, block);
      for (size_t i = 0; i < batches_.size(); ++i) hidden_[i] = run_block(block, i);
    }
    if (options_.progress) options_.progress->end();
    return std::move(result_);
  }

 private:
  struct Target {
    std::string path;
    Linear* linear = nullptr;
  };

  template <typename Body>
  void observe(LinearObserver& observer, const Body& body) {
    ctx_.linear_observer = &observer;
    body();
    ctx_.linear_observer = nullptr;
  }

  // The cache never advances, so that every sequence starts in it anew.
  Tensor run_block(int64_t block, size_t sequence) {
    return model_.block(ctx_, block, hidden_[sequence], batches_[sequence], cache_);
  }

  // Those of the stage that are wanted, with their inputs as the stages before have left them.
  void quantize(const Stage& stage, int64_t block) {
    std::optional<GptqFactor> factor;
    GptqSolverOptions solver = options_.solver;
    int64_t tokens = 0;
    for (const PreparedWeight* weight : stage) {
      const auto found = targets_.find(weight);
      if (found == targets_.end()) continue;
      const auto [path, linear] = found->second;
      try {
        if (!factor) {
          HessianObserver observer(*stage.front(), pool_);
          observe(observer, [&] {
            for (size_t i = 0; i < batches_.size(); ++i) run_block(block, i);
          });
          solver.grid = options_.grid_of_cols(observer.hessian.cols());
          factor = factor_hessian(observer.hessian, solver, pool_);
          tokens = observer.hessian.tokens();
        }
        replace(path, *linear, *factor, solver, tokens);
      } catch (const Interrupted&) {
        throw;
      } catch (Error& error) {
        throw error.tensor(path + ".weight");
      }
    }
    // Only now: a stage is known by its first weight until all of it is done.
    for (auto& [linear, weight] : replaced_) linear->set_weight(std::move(weight));
    replaced_.clear();
  }

  void replace(const std::string& path, Linear& linear, const GptqFactor& factor,
               const GptqSolverOptions& solver, int64_t tokens) {
    const Weight& dense = linear.weight().weight();
    GptqSolution solution = solve_gptq(dense.as_dense().values, factor, solver, pool_);
    replaced_.emplace_back(&linear, ctx_.backend.prepare(solution.weight));
    result_.modules.push_back({path, solution.loss, factor.damp_percent, tokens});
    result_.weights.emplace(path, std::move(solution.weight));
    if (options_.progress) options_.progress->advance(1, path);
  }

  Model& model_;
  ThreadPool& pool_;
  const GptqCalibrationOptions& options_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  KvCache cache_;
  int64_t slot_;
  std::vector<TokenBatch> batches_;  // one sequence each
  std::vector<Tensor> hidden_;       // the inputs of the block, by sequence
  std::map<const PreparedWeight*, Target> targets_;
  std::vector<std::pair<Linear*, std::shared_ptr<const PreparedWeight>>> replaced_;
  GptqCalibration result_;
};

}  // namespace

GptqCalibration calibrate_gptq(Model& model, Backend& backend, ThreadPool& pool,
                               std::span<const std::vector<int32_t>> sequences,
                               const GptqCalibrationOptions& options) {
  if (sequences.empty()) throw Error("there is nothing to calibrate with");
  return GptqRun(model, backend, pool, sequences, options).run();
}

}  // namespace nibble
