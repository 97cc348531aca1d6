// SPDX-License-Identifier: Apache-2.0
//
// A model that runs block by block over the sequences of a calibration, and what its Linears see
// meanwhile. Of keys and values those of one sequence and block are in memory; of hidden states
// what the budget allows. Changes no weights.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"
#include "nibble/calibrate/calibration.h"
#include "nibble/calibrate/hidden_states.h"
#include "nibble/models/model.h"
#include "nibble/ops/linear.h"
#include "nibble/quant/hessian.h"

namespace nibble {

class BlockRun {
 public:
  // Embeds the sequences, which outlive this, or finds in the folder what an earlier process left.
  // Throws Error when there are none, and for tokens out of the vocabulary.
  BlockRun(const Model& model, Backend& backend, std::span<const std::vector<int32_t>> sequences,
           const CalibrationWork& work);

  int64_t block() const { return states_.block(); }  // at work
  bool is_last() const { return block() + 1 == model_.block_count(); }
  bool is_done() const { return block() == model_.block_count(); }

  // Runs the block over the first sequence.
  void observe_first(LinearObserver& observer);
  // Runs it over all sequences, of each up to the inputs of `last`; what is behind is not computed.
  // Nor is what comes before from now on: the Linears that `last` depends on may not change any
  // more until finish().
  void observe_until(const PreparedWeight& last, LinearObserver& observer);
  // Runs it over all, with outputs that become the inputs of the next block.
  void advance(LinearObserver* observer = nullptr);

  // Gives `sink` what has come of the block, and goes on to the next: when a process is killed in
  // here the block is given again, or not begun again.
  void finish(Calibration&& calibration, const CalibrationSink& sink);

  // Calls body(), which gives what comes of the block at work, and finish() for every block that is
  // left. Returns modules().
  template <typename Body>
  const std::vector<CalibratedModule>& for_each_block(const CalibrationTask& task,
                                                      const CalibrationSink& sink,
                                                      const Body& body) {
    if (task.progress) {
      task.progress->begin("calibrating", static_cast<int64_t>(task.modules.size()));
      task.progress->skip(static_cast<int64_t>(modules_.size()));
    }
    while (!is_done()) finish(body(), sink);
    if (task.progress) task.progress->end();
    return modules_;
  }

  // finish() when nothing has come of the block.
  void finish() {
    finish({}, [](int64_t, Calibration&&) {});
  }

  // Runs the output head over all sequences, when the blocks are done.
  void observe_head(LinearObserver& observer);
  // What comes out of the model, [tokens, vocab] on the host, when the block at work and those
  // behind it run; the inputs of the block stay as they are.
  Tensor logits(size_t sequence);

  // Of all blocks that are done, in this process or an earlier one.
  const std::vector<CalibratedModule>& modules() const { return modules_; }

  Context& ctx() { return ctx_; }

 private:
  bool go_on(int64_t block);
  void embed();
  TokenBatch batch(size_t sequence) const;
  Tensor run_block(size_t sequence, LinearObserver* observer, bool keep = false);
  void keep_attended(size_t sequence, const Tensor& attended);
  void forget_attended(size_t sequence);

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  KvCache cache_;
  int64_t slot_ = 0;  // of the one sequence in the cache
  std::span<const std::vector<int32_t>> sequences_;
  HiddenStates states_;
  // What the block at work has attended to, of the sequences that observe_until() has gone through
  // and that there is room for: attention costs as much as all products of a small model.
  std::vector<Tensor> attended_;
  int64_t room_;  // bytes
  std::vector<CalibratedModule> modules_;
};

// Collects the inputs of the Linears that it is given.
class InputObserver final : public LinearObserver {
 public:
  explicit InputObserver(ThreadPool& pool) : pool_(pool) {}

  void watch(const PreparedWeight& weight) { inputs_.emplace(&weight, weight.weight().cols()); }
  const Hessian& of(const PreparedWeight& weight) const { return inputs_.at(&weight); }

  void on_linear(Context& ctx, const Tensor& x, std::span<const LinearOperands> operands) override;

 private:
  ThreadPool& pool_;
  std::map<const PreparedWeight*, Hessian> inputs_;
};

}  // namespace nibble
