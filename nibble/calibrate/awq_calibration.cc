// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/awq_calibration.h"

#include <memory>
#include <utility>

#include "nibble/calibrate/block_run.h"
#include "nibble/calibrate/model_scaling.h"
#include "nibble/quant/awq_search.h"
#include "nibble/quant/awq_solver.h"

namespace nibble {
namespace {

class AwqRun {
 public:
  AwqRun(Model& model, Backend& backend, ThreadPool& pool,
         std::span<const std::vector<int32_t>> sequences, const CalibrationTask& task)
      : model_(model),
        pool_(pool),
        task_(task),
        run_(model, backend, sequences, task.work),
        scaling_(model, run_.ctx(), pool) {}

  std::vector<CalibratedModule> run(const CalibrationSink& sink) {
    return run_.for_each_block(task_, sink, [&] {
      quantize_block();
      return std::exchange(result_, {});
    });
  }

 private:
  // A group of which some consumers are wanted, and what its inputs have said.
  struct Search {
    ScaleGroup group;
    std::vector<ScaledLinear> wanted;
    OutputError error;
    int64_t tokens = 0;
    AwqScales scales;
  };

  const Tensor& dense(const ScaledLinear& of) const {
    return scaling_.linear(of.path).weight().weight().as_dense().values;
  }

  void quantize_block() {
    const std::vector<Search> searches = search_block();
    for (const Search& search : searches) scaling_.add(search.group, search.scales.of_sources);
    std::vector<std::pair<Linear*, Weight>> replaced;
    for (const Search& search : searches) {
      for (size_t i = 0; i < search.wanted.size(); ++i) {
        naming_module(search.wanted[i].path, [&] { solve(search, i, replaced); });
      }
    }
    result_.tensors.merge(scaling_.apply(task_.modules));
    for (auto& [linear, weight] : replaced) {
      linear->set_weight(run_.ctx().backend.prepare(std::move(weight)));
    }
  }

  std::vector<Search> search_block() {
    std::vector<std::pair<ScaleGroup, std::vector<ScaledLinear>>> groups;
    InputObserver observer(pool_);
    for (ScaleGroup& group : model_.scale_groups(run_.block())) {
      std::vector<ScaledLinear> wanted;
      for (const ScaledLinear& linear : group.consumers) {
        if (task_.modules.contains(linear.path)) wanted.push_back(linear);
      }
      if (wanted.empty()) continue;
      observer.watch(scaling_.linear(wanted.front().path).weight());
      groups.emplace_back(std::move(group), std::move(wanted));
    }
    run_.advance(&observer);
    std::vector<Search> searches;
    for (auto& [group, wanted] : groups) {
      const std::string first = wanted.front().path;
      const auto count = static_cast<int64_t>(wanted.size());
      naming_module(first, [&] {
        searches.push_back(search(std::move(group), std::move(wanted),
                                  observer.of(scaling_.linear(first).weight())));
      });
      if (task_.progress) task_.progress->advance(count, first);
    }
    return searches;
  }

  Search search(ScaleGroup group, std::vector<ScaledLinear> wanted, const Hessian& inputs) {
    Search result{std::move(group), std::move(wanted), OutputError(inputs), inputs.tokens(), {}};
    std::vector<Tensor> matrices;
    for (const ScaledLinear& linear : result.wanted) matrices.push_back(dense(linear));
    std::vector<int32_t> sources;
    for (int64_t c = 0; c < inputs.cols(); ++c) {
      sources.push_back(static_cast<int32_t>(result.group.source(c)));
    }
    result.scales = search_awq_scales(matrices, sources, inputs, result.error,
                                      task_.grid(result.wanted.front().path, inputs.cols()), pool_);
    return result;
  }

  void solve(const Search& search, size_t index,
             std::vector<std::pair<Linear*, Weight>>& replaced) {
    const ScaledLinear& of = search.wanted[index];
    AwqSolverOptions solver;
    solver.grid = task_.grid(of.path, search.error.cols());
    solver.clip = of.output_counts;
    AwqSolution solution = solve_awq(dense(of), scaling_.of(of.path), search.error, solver, pool_);
    CalibratedModule& module = result_.modules.emplace_back();
    module.name = of.path;
    module.loss = solution.loss;
    module.tokens = search.tokens;
    module.rounded_loss = search.scales.rounded[index];
    module.ratio = search.scales.ratio;
    replaced.emplace_back(&scaling_.linear(of.path), solution.weight);
    result_.weights.emplace(of.path, std::move(solution.weight));
  }

  Model& model_;
  ThreadPool& pool_;
  const CalibrationTask& task_;
  BlockRun run_;
  ModelScaling scaling_;
  Calibration result_;  // of the block at work
};

}  // namespace

std::vector<CalibratedModule> calibrate_awq(Model& model, Backend& backend, ThreadPool& pool,
                                            std::span<const std::vector<int32_t>> sequences,
                                            const CalibrationTask& task,
                                            const CalibrationSink& sink) {
  return AwqRun(model, backend, pool, sequences, task).run(sink);
}

}  // namespace nibble
