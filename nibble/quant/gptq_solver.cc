// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/gptq_solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/inverse_factor.h"

namespace nibble {
namespace {

// Columns whose errors reach the columns behind them together, as in the original.
constexpr int64_t kGptqBlock = 128;
// Rows that share one pass over the factor.
constexpr int64_t kGptqRows = 8;
// GPTQModel's step from one damping to the next.
constexpr double kDampStep = 0.01;

// The rule of the original: a symmetric range ends at 0 where no weight is negative.
float original_scale(float smallest, float largest, int64_t bits, bool sym) {
  const float magnitude = std::max(-smallest, largest);
  if (magnitude == 0.0f) smallest = -1.0f, largest = 1.0f;
  if (sym && magnitude > 0.0f) {
    largest = magnitude;
    if (smallest < 0.0f) smallest = -magnitude;
  }
  return (largest - smallest) / static_cast<float>((1 << bits) - 1);
}

RtnOptions grid_for(const GptqSolverOptions& options) {
  RtnOptions grid = options.grid;
  if (!options.parity) return grid;
  grid.scale_dtype = DType::kF32;
  grid.scale = grid.sym
                   ? [](float s, float l, int64_t b) { return original_scale(s, l, b, true); }
                   : [](float s, float l, int64_t b) { return original_scale(s, l, b, false); };
  return grid;
}

// Columns by decreasing diagonal, equal ones in order; groups by their largest when they stay.
std::vector<int32_t> column_order(std::span<const double> diagonal,
                                  const GptqSolverOptions& options) {
  std::vector<int32_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  if (!options.desc_act && !options.act_group_aware) return order;
  const auto at = [&](int32_t c) { return diagonal[static_cast<size_t>(c)]; };
  const auto group = [&](int32_t c) { return static_cast<size_t>(c / options.grid.group_size); };
  if (options.desc_act) {
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return at(a) > at(b); });
    return order;
  }
  std::vector<double> largest(group(order.back()) + 1, 0.0);
  for (const int32_t c : order) largest[group(c)] = std::max(largest[group(c)], at(c));
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
    if (group(a) == group(b)) return at(a) > at(b);
    const double first = largest[group(a)], second = largest[group(b)];
    return first != second ? first > second : group(a) < group(b);
  });
  return order;
}

// Whether groups are made of the columns as they come, and not as they lie.
bool moves_groups(const GptqSolverOptions& options) {
  return options.desc_act && !options.static_groups;
}

NIBBLE_VECTORIZED void subtract_error(float* out, const float* row, float error, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] -= error * row[i];
}

// Some rows on their way through the columns.
class RowSolver {
 public:
  RowSolver(const GptqFactor& factor, const GptqSolverOptions& options)
      : factor_(factor),
        grid_(grid_for(options)),
        options_(options),
        cols_(static_cast<int64_t>(factor.order.size())) {}

  // `weights` [count, cols] in the order of columns, which it overwrites; codes in that order,
  // grids by group. `losses` [count]: sums of squared errors, each in units of its column.
  void solve(std::span<float> weights, std::span<uint8_t> codes, std::span<AffineGrid> grids,
             std::span<double> losses) {
    const auto count = static_cast<int64_t>(losses.size());
    const int64_t groups = static_cast<int64_t>(grids.size()) / count;
    errors_.resize(static_cast<size_t>(count * kGptqBlock));
    std::ranges::fill(losses, 0.0);
    for (int64_t begin = 0; begin < cols_;) {
      const int64_t end = block_end(begin);
      for (int64_t r = 0; r < count; ++r) {
        float* errors = errors_.data() + r * kGptqBlock;
        solve_block(weights.data() + r * cols_, begin, end, codes.data() + r * cols_,
                    grids.data() + r * groups, errors);
        double& loss = losses[static_cast<size_t>(r)];
        for (int64_t i = 0; i < end - begin; ++i) loss += double{errors[i]} * errors[i];
      }
      for (int64_t k = begin; k < end; ++k) {
        for (int64_t r = 0; r < count; ++r) {
          subtract_error(weights.data() + r * cols_ + end, upper_row(k) + end,
                         errors_[static_cast<size_t>(r * kGptqBlock + k - begin)], cols_ - end);
        }
      }
      begin = end;
    }
  }

 private:
  const float* upper_row(int64_t k) const { return factor_.upper.row(k); }

  bool starts_group(int64_t k) const {
    const auto at = static_cast<size_t>(k);
    return k == 0 || factor_.group[at] != factor_.group[at - 1];
  }

  int64_t group_end(int64_t k) const {
    int64_t end = k + 1;
    while (end < cols_ && !starts_group(end)) ++end;
    return end;
  }

  // A block ends where the next group begins, so that its scale sees all corrections.
  int64_t block_end(int64_t begin) const {
    const int64_t end = std::min(cols_, begin + kGptqBlock);
    if (options_.parity || options_.static_groups) return end;
    return std::min(end, group_end(begin));
  }

  void solve_block(const float* weights, int64_t begin, int64_t end, uint8_t* codes,
                   AffineGrid* grids, float* errors) {
    block_.assign(weights + begin, weights + end);
    for (int64_t k = begin; k < end; ++k) {
      AffineGrid& grid = grids[factor_.group[static_cast<size_t>(k)]];
      if (!options_.static_groups && starts_group(k)) {
        grid = grid_of({weights + k, weights + group_end(k)}, grid_);
      }
      float* current = block_.data() + (k - begin);
      codes[k] = encode_affine(*current, grid.scale, grid.zero, grid_.bits);
      const float decoded = grid.scale * (static_cast<float>(codes[k]) - grid.zero);
      const float error = (*current - decoded) / upper_row(k)[k];
      errors[k - begin] = error;
      subtract_error(current + 1, upper_row(k) + k + 1, error, end - k - 1);
    }
  }

  const GptqFactor& factor_;
  RtnOptions grid_;
  const GptqSolverOptions& options_;
  int64_t cols_;
  std::vector<float> errors_, block_;
};

}  // namespace

GptqFactor factor_hessian(const Hessian& hessian, const GptqSolverOptions& options,
                          ThreadPool& pool) {
  const int64_t cols = hessian.cols();
  if (hessian.tokens() == 0) throw Error("calibration has seen no token");
  GptqFactor factor;
  std::vector<double> diagonal(static_cast<size_t>(cols));
  factor.dead.resize(diagonal.size());
  for (int64_t i = 0; i < cols; ++i) {
    double& own = diagonal[static_cast<size_t>(i)];
    own = hessian.at(i, i);  // a value that is not finite reaches it from any x
    if (!std::isfinite(own)) throw Error("activations of calibration are not finite");
    factor.dead[static_cast<size_t>(i)] = own == 0.0;
    if (own == 0.0) own = 1.0;
  }
  factor.order = column_order(diagonal, options);
  factor.group.resize(diagonal.size());
  for (size_t k = 0; k < diagonal.size(); ++k) {
    const int64_t column = moves_groups(options) ? static_cast<int64_t>(k) : factor.order[k];
    factor.group[k] = static_cast<int32_t>(column / options.grid.group_size);
  }
  const double mean =
      std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(cols);
  for (double damp = options.damp_percent; damp < 1.0; damp += kDampStep) {
    UpperTriangle<double> damped(cols);  // in reverse order
    pool.parallel_for(cols, 8, [&](int64_t begin, int64_t end) {
      const auto column = [&](int64_t i) {
        return factor.order[static_cast<size_t>(cols - 1 - i)];
      };
      for (int64_t i = begin; i < end; ++i) {
        double* row = damped.row(i);
        row[i] = diagonal[static_cast<size_t>(column(i))] + damp * mean;
        for (int64_t j = i + 1; j < cols; ++j) row[j] = hessian.at(column(i), column(j));
      }
    });
    if (auto upper = upper_factor_of_inverse(std::move(damped), pool)) {
      factor.upper = std::move(*upper);
      factor.damp_percent = damp;
      return factor;
    }
  }
  throw Error("the Hessian of calibration is not positive definite, however much it is damped")
      .hint("calibrate with more, or with other texts");
}

GptqSolution solve_gptq(const Tensor& dense, const GptqFactor& factor,
                        const GptqSolverOptions& options, ThreadPool& pool) {
  check_dense_input(dense);
  check_finite(dense);
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  if (cols != static_cast<int64_t>(factor.order.size())) {
    throw Error("the matrix does not fit the Hessian")
        .expected(fmt::format("{} columns", factor.order.size()))
        .got(fmt::format("{}", cols));
  }
  const RtnOptions grid_options = grid_for(options);
  AffineGroup packed = unfilled_affine_group(rows, cols, options.grid);
  const int64_t groups = packed.scales.dim(1), row_bytes = packed.codes.dim(1);
  const auto bytes = packed.codes.mutable_data<uint8_t>();
  const auto scales = packed.scales.mutable_data<float>();
  const auto zeros = packed.zeros.mutable_data<float>();
  // Where the code of the k-th column is stored.
  std::vector<int32_t> place = factor.order;
  if (moves_groups(options)) std::iota(place.begin(), place.end(), 0);
  std::vector<double> losses(static_cast<size_t>(rows));

  pool.parallel_for(rows, kGptqRows, [&](int64_t begin, int64_t end) {
    const auto count = static_cast<size_t>(end - begin), width = static_cast<size_t>(cols);
    std::vector<float> original(width), weights(count * width);
    std::vector<uint8_t> codes(count * width), stored(width);
    std::vector<AffineGrid> grids(count * static_cast<size_t>(groups));
    for (size_t r = 0; r < count; ++r) {
      read_elements(dense, (begin + static_cast<int64_t>(r)) * cols, original);
      for (size_t c = 0; c < width; ++c) {
        if (factor.dead[c]) original[c] = 0.0f;
      }
      for (size_t k = 0; k < width; ++k) {
        weights[r * width + k] = original[static_cast<size_t>(factor.order[k])];
      }
      for (int64_t g = 0; options.static_groups && g < groups; ++g) {
        const int64_t first = g * options.grid.group_size;
        const int64_t last = std::min(cols, first + options.grid.group_size);
        grids[r * static_cast<size_t>(groups) + static_cast<size_t>(g)] =
            grid_of({original.data() + first, original.data() + last}, grid_options);
      }
    }
    RowSolver(factor, options)
        .solve(weights, codes, grids, std::span(losses).subspan(static_cast<size_t>(begin), count));
    for (size_t r = 0; r < count; ++r) {
      const auto row = static_cast<size_t>(begin) + r;
      for (size_t k = 0; k < width; ++k) {
        stored[static_cast<size_t>(place[k])] = codes[r * width + k];
      }
      const auto size = static_cast<size_t>(row_bytes), per_row = static_cast<size_t>(groups);
      pack_codes(stored, packed.bits, bytes.subspan(row * size, size));
      for (size_t g = 0; g < per_row; ++g) {
        scales[row * per_row + g] = grids[r * per_row + g].scale;
        zeros[row * per_row + g] = grids[r * per_row + g].zero;
      }
    }
  });
  if (packed.scale_dtype == DType::kF16) round_to_fp16(scales);
  check_scales(scales, dense, packed.scale_dtype);
  if (moves_groups(options)) {
    packed.positions = Tensor::empty(DType::kI32, {cols});
    const auto positions = packed.positions.mutable_data<int32_t>();
    for (size_t k = 0; k < factor.order.size(); ++k) {
      positions[static_cast<size_t>(factor.order[k])] = static_cast<int32_t>(k);
    }
  }
  GptqSolution solution;
  solution.weight = Weight::affine_group(std::move(packed), cols, dense.dtype());
  solution.loss =
      std::accumulate(losses.begin(), losses.end(), 0.0) / (2.0 * static_cast<double>(rows));
  return solution;
}

}  // namespace nibble
