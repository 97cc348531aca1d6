// SPDX-License-Identifier: Apache-2.0
//
// A model that runs block by block over the sequences of a calibration, and what its Linears see
// meanwhile. The hidden states of all sequences are in memory. Changes no weights.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "nibble/backend/backend.h"
#include "nibble/base/thread_pool.h"
#include "nibble/models/model.h"
#include "nibble/ops/linear.h"
#include "nibble/quant/hessian.h"

namespace nibble {

class BlockRun {
 public:
  // Embeds the sequences. Throws Error when there are none, and for tokens out of the vocabulary.
  BlockRun(const Model& model, Backend& backend, std::span<const std::vector<int32_t>> sequences);

  // Runs the block over the first sequence, or over all.
  void observe_first(int64_t block, LinearObserver& observer);
  void observe(int64_t block, LinearObserver& observer);
  // The same, with outputs that become the inputs of the next block.
  void advance(int64_t block, LinearObserver* observer = nullptr);
  // Behind the last block.
  void observe_head(LinearObserver& observer);
  // What comes out of the model, [tokens, vocab] on the host, when this block and those behind it
  // run; the inputs of the block stay as they are.
  Tensor logits_from(int64_t block, size_t sequence);

  Context& ctx() { return ctx_; }

 private:
  Tensor run_block(int64_t block, size_t sequence, LinearObserver* observer);

  const Model& model_;
  std::unique_ptr<Stream> stream_;
  Context ctx_;
  KvCache cache_;
  std::vector<TokenBatch> batches_;  // one sequence each
  std::vector<Tensor> hidden_;       // the inputs of the block, by sequence
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
