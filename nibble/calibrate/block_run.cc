// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/block_run.h"

#include <algorithm>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Logits are large, and nobody reads them here.
constexpr int64_t kTokensOfHead = 64;

}  // namespace

BlockRun::BlockRun(const Model& model, Backend& backend,
                   std::span<const std::vector<int32_t>> sequences)
    : model_(model),
      stream_(backend.new_stream()),
      ctx_{backend, *stream_},
      cache_(model.new_cache(DType::kF32)) {
  if (sequences.empty()) throw Error("there is nothing to calibrate with");
  const int64_t slot = cache_.add_sequence();
  for (const std::vector<int32_t>& ids : sequences) {
    batches_.emplace_back().add(slot, ids);
    hidden_.push_back(model_.embed(ctx_, batches_.back()));
  }
}

// The cache never advances, so that every sequence starts in it anew.
Tensor BlockRun::run_block(int64_t block, size_t sequence, LinearObserver* observer) {
  ctx_.linear_observer = observer;
  Tensor out = model_.block(ctx_, block, hidden_[sequence], batches_[sequence], cache_);
  ctx_.linear_observer = nullptr;
  return out;
}

void BlockRun::observe_first(int64_t block, LinearObserver& observer) {
  run_block(block, 0, &observer);
}

void BlockRun::observe(int64_t block, LinearObserver& observer) {
  for (size_t i = 0; i < batches_.size(); ++i) run_block(block, i, &observer);
}

void BlockRun::advance(int64_t block, LinearObserver* observer) {
  for (size_t i = 0; i < batches_.size(); ++i) hidden_[i] = run_block(block, i, observer);
}

void BlockRun::observe_head(LinearObserver& observer) {
  ctx_.linear_observer = &observer;
  for (const Tensor& hidden : hidden_) {
    for (int64_t begin = 0; begin < hidden.dim(0); begin += kTokensOfHead) {
      const int64_t end = std::min(hidden.dim(0), begin + kTokensOfHead);
      model_.head(ctx_, hidden.slice_rows(begin, end));
    }
  }
  ctx_.linear_observer = nullptr;
}

Tensor BlockRun::logits_from(int64_t block, size_t sequence) {
  Tensor hidden = hidden_[sequence];
  for (; block < model_.block_count(); ++block) {
    hidden = model_.block(ctx_, block, hidden, batches_[sequence], cache_);
  }
  return ctx_.backend.download(ctx_.stream, model_.head(ctx_, hidden));
}

void InputObserver::on_linear(Context& ctx, const Tensor& x,
                              std::span<const LinearOperands> operands) {
  for (const LinearOperands& operand : operands) {
    const auto found = inputs_.find(&operand.weight);
    if (found == inputs_.end()) continue;
    found->second.add(ctx.backend.download(ctx.stream, x), pool_);
  }
}

}  // namespace nibble
