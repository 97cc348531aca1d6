// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/gptq_calibration.h"

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "nibble/calibrate/block_run.h"

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

class GptqRun {
 public:
  GptqRun(Model& model, Backend& backend, ThreadPool& pool,
          std::span<const std::vector<int32_t>> sequences, const CalibrationTask& task,
          const GptqSolverOptions& solver)
      : pool_(pool), task_(task), solver_(solver), run_(model, backend, sequences, task.work) {
    model.visit([this](const std::string& path, Linear& linear) {
      if (!task_.modules.contains(path)) return;
      targets_.emplace(&linear.weight(), Target{path, &linear});
    });
  }

  std::vector<CalibratedModule> run(const CalibrationSink& sink) {
    return run_.for_each_block(task_, sink, [&] {
      StageRecorder recorder;
      run_.observe_first(recorder);
      for (const Stage& stage : recorder.stages) quantize(stage);
      if (!run_.is_last()) run_.advance();
      return std::exchange(result_, {});
    });
  }

 private:
  struct Target {
    std::string path;
    Linear* linear = nullptr;
  };

  // Those of the stage that are wanted, with their inputs as the stages before have left them.
  void quantize(const Stage& stage) {
    std::optional<InputObserver> observer;
    std::optional<GptqFactor> factor;  // for groups of one size
    GptqSolverOptions solver = solver_;
    for (const PreparedWeight* weight : stage) {
      const auto found = targets_.find(weight);
      if (found == targets_.end()) continue;
      const Target& target = found->second;
      naming_module(target.path, [&] {
        if (!observer) {
          observer.emplace(pool_);
          observer->watch(*stage.front());
          run_.observe_until(*stage.front(), *observer);
        }
        const Hessian& inputs = observer->of(*stage.front());
        const RtnOptions grid = task_.grid(target.path, inputs.cols());
        const bool fits = factor && grid.group_size == solver.grid.group_size;
        solver.grid = grid;
        if (!fits) factor = factor_hessian(inputs, solver, pool_);
        replace(target.path, *target.linear, *factor, solver, inputs.tokens());
      });
    }
    // Only now: a stage is known by its first weight until all of it is done.
    for (auto& [linear, weight] : replaced_) linear->set_weight(std::move(weight));
    replaced_.clear();
  }

  void replace(const std::string& path, Linear& linear, const GptqFactor& factor,
               const GptqSolverOptions& solver, int64_t tokens) {
    const Weight& dense = linear.weight().weight();
    GptqSolution solution = solve_gptq(dense.as_dense().values, factor, solver, pool_);
    replaced_.emplace_back(&linear, run_.ctx().backend.prepare(solution.weight));
    CalibratedModule& module = result_.modules.emplace_back();
    module.name = path;
    module.loss = solution.loss;
    module.tokens = tokens;
    module.damp_percent = factor.damp_percent;
    result_.weights.emplace(path, std::move(solution.weight));
    if (task_.progress) task_.progress->advance(1, path);
  }

  ThreadPool& pool_;
  const CalibrationTask& task_;
  const GptqSolverOptions& solver_;
  BlockRun run_;
  std::map<const PreparedWeight*, Target> targets_;
  std::vector<std::pair<Linear*, std::shared_ptr<const PreparedWeight>>> replaced_;
  Calibration result_;  // of the block at work
};

}  // namespace

std::vector<CalibratedModule> calibrate_gptq(Model& model, Backend& backend, ThreadPool& pool,
                                             std::span<const std::vector<int32_t>> sequences,
                                             const CalibrationTask& task,
                                             const GptqSolverOptions& solver,
                                             const CalibrationSink& sink) {
  return GptqRun(model, backend, pool, sequences, task, solver).run(sink);
}

}  // namespace nibble
