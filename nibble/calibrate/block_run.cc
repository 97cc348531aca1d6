// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/block_run.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// Logits are large, and nobody reads them here.
constexpr int64_t kTokensOfHead = 64;

struct EndOfRun {};

// Throws EndOfRun when the inputs of a weight have been seen.
class EndingObserver final : public LinearObserver {
 public:
  EndingObserver(const PreparedWeight& last, LinearObserver& inner) : last_(last), inner_(inner) {}

  void on_linear(Context& ctx, const Tensor& x, std::span<const LinearOperands> operands) override {
    inner_.on_linear(ctx, x, operands);
    for (const LinearOperands& operand : operands) {
      if (&operand.weight == &last_) throw EndOfRun();
    }
  }

 private:
  const PreparedWeight& last_;
  LinearObserver& inner_;
};

}  // namespace

BlockRun::BlockRun(const Model& model, Backend& backend,
                   std::span<const std::vector<int32_t>> sequences, const CalibrationWork& work)
    : model_(model),
      stream_(backend.new_stream()),
      ctx_{backend, *stream_},
      cache_(model.new_cache(DType::kF32)),
      sequences_(sequences),
      states_(sequences, model.config().hidden_size, work.folder, work.max_memory),
      attended_(sequences.size()),
      room_(work.max_memory - std::min(work.max_memory, states_.bytes())) {
  if (sequences.empty()) throw Error("there is nothing to calibrate with");
  slot_ = cache_.add_sequence();
  if (!go_on(work.first_block)) embed();
}

bool BlockRun::go_on(int64_t block) {
  const auto record = states_.restore(block);
  if (!record) return false;
  try {
    for (const auto& module : *record) modules_.push_back(calibrated_module(module));
  } catch (const nlohmann::json::exception& failure) {
    throw Error("the record of the unfinished calibration is damaged")
        .got(failure.what())
        .hint("leave --resume out to start anew");
  }
  return true;
}

void BlockRun::embed() {
  for (size_t i = 0; i < states_.size(); ++i) {
    states_.set(i, ctx_.backend.download(ctx_.stream, model_.embed(ctx_, batch(i))));
  }
  states_.advance();
  states_.save(nlohmann::ordered_json::array());
}

TokenBatch BlockRun::batch(size_t sequence) const {
  TokenBatch batch;
  batch.add(slot_, sequences_[sequence]);
  return batch;
}

// The cache never advances, so that every sequence starts in it anew.
Tensor BlockRun::run_block(size_t sequence, LinearObserver* observer, bool keep) {
  const Tensor hidden = ctx_.backend.upload(ctx_.stream, states_.get(sequence));
  Context observed = ctx_;
  observed.linear_observer = observer;
  Tensor attended;
  if (attended_[sequence].defined()) {
    attended = ctx_.backend.upload(ctx_.stream, attended_[sequence]);
  } else {
    attended = model_.attend(observed, block(), hidden, batch(sequence), cache_);
    if (keep) keep_attended(sequence, attended);
  }
  return model_.finish_block(observed, block(), hidden, attended);
}

void BlockRun::keep_attended(size_t sequence, const Tensor& attended) {
  const auto bytes = attended.nbytes();
  if (bytes > room_) return;
  room_ -= bytes;
  attended_[sequence] = ctx_.backend.download(ctx_.stream, attended);
}

void BlockRun::forget_attended(size_t sequence) {
  if (!attended_[sequence].defined()) return;
  room_ += attended_[sequence].nbytes();
  attended_[sequence] = Tensor();
}

void BlockRun::observe_first(LinearObserver& observer) { run_block(0, &observer); }

void BlockRun::observe_until(const PreparedWeight& last, LinearObserver& observer) {
  EndingObserver ending(last, observer);
  for (size_t i = 0; i < states_.size(); ++i) {
    try {
      run_block(i, &ending, /*keep=*/true);
    } catch (const EndOfRun&) {  // as it should
    }
  }
}

void BlockRun::advance(LinearObserver* observer) {
  for (size_t i = 0; i < states_.size(); ++i) {
    states_.set(i, ctx_.backend.download(ctx_.stream, run_block(i, observer)));
    forget_attended(i);
  }
}

void BlockRun::finish(Calibration&& calibration, const CalibrationSink& sink) {
  std::ranges::copy(calibration.modules, std::back_inserter(modules_));
  nlohmann::ordered_json record = nlohmann::ordered_json::array();
  for (const CalibratedModule& module : modules_) record.push_back(to_json(module));
  const int64_t done = block();
  states_.advance();
  states_.save(record);
  sink(done, std::move(calibration));
  states_.forget_previous();
  for (size_t i = 0; i < attended_.size(); ++i)
    forget_attended(i);  // the last block never advances
  // Keys and values of this block are of no more use, and the next one has its own.
  cache_ = model_.new_cache(DType::kF32);
  slot_ = cache_.add_sequence();
}

void BlockRun::observe_head(LinearObserver& observer) {
  Context observed = ctx_;
  observed.linear_observer = &observer;
  for (size_t i = 0; i < states_.size(); ++i) {
    const Tensor hidden = ctx_.backend.upload(ctx_.stream, states_.get(i));
    for (int64_t begin = 0; begin < hidden.dim(0); begin += kTokensOfHead) {
      const int64_t end = std::min(hidden.dim(0), begin + kTokensOfHead);
      model_.head(observed, hidden.slice_rows(begin, end));
    }
  }
}

Tensor BlockRun::logits(size_t sequence) {
  Tensor hidden = ctx_.backend.upload(ctx_.stream, states_.get(sequence));
  for (int64_t block = this->block(); block < model_.block_count(); ++block) {
    hidden = model_.block(ctx_, block, hidden, batch(sequence), cache_);
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
