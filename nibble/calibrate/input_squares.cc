// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/input_squares.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "nibble/base/error.h"
#include "nibble/calibrate/block_run.h"

namespace nibble {
namespace {

class SquaresObserver final : public LinearObserver {
 public:
  explicit SquaresObserver(const Model& model) {
    model.visit([this](const std::string& path, const Linear& linear) {
      const auto cols = static_cast<size_t>(linear.weight().weight().cols());
      seen_.emplace(&linear.weight(), Seen{path, 0, std::vector<double>(cols)});
    });
  }

  void on_linear(Context& ctx, const Tensor& x, std::span<const LinearOperands> operands) override {
    const Tensor inputs = ctx.backend.download(ctx.stream, x);  // [tokens, cols]
    const std::span<const float> values = inputs.data<float>();
    for (const LinearOperands& operand : operands) {
      const auto found = seen_.find(&operand.weight);
      if (found == seen_.end()) continue;
      Seen& seen = found->second;
      const size_t cols = seen.sums.size();
      for (size_t i = 0; i < values.size(); ++i)
        seen.sums[i % cols] += double{values[i]} * values[i];
      seen.tokens += inputs.dim(0);
    }
  }

  InputSquares means() const {
    InputSquares result;
    for (const auto& [weight, seen] : seen_) {
      std::vector<double> means = seen.sums;
      for (double& mean : means) mean /= static_cast<double>(std::max<int64_t>(1, seen.tokens));
      if (!std::ranges::all_of(means, [](double mean) { return std::isfinite(mean); })) {
        throw Error("activations of calibration are not finite").tensor(seen.path + ".weight");
      }
      result.emplace(seen.path, std::move(means));
    }
    return result;
  }

 private:
  struct Seen {
    std::string path;
    int64_t tokens = 0;
    std::vector<double> sums;
  };
  std::map<const PreparedWeight*, Seen> seen_;
};

}  // namespace

InputSquares measure_input_squares(const Model& model, Backend& backend,
                                   std::span<const std::vector<int32_t>> sequences,
                                   Progress* progress) {
  SquaresObserver observer(model);
  BlockRun run(model, backend, sequences, {});
  if (progress) progress->begin("calibrating", model.block_count());
  for (; !run.is_done(); run.finish()) {
    run.advance(&observer);
    if (progress) progress->advance(1, "block " + std::to_string(run.block()));
  }
  run.observe_head(observer);
  if (progress) progress->end();
  return observer.means();
}

}  // namespace nibble
