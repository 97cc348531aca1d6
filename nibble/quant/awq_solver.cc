// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq_solver.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "nibble/quant/dense_input.h"

namespace nibble {
namespace {

// AutoAWQ's settings: steps down to 0.55, of 20 that would lead to 0.
constexpr int kLimits = 10, kLimitSteps = 20;
constexpr int64_t kSolvedRowsPerTask = 8;

std::span<const float> part_of(std::span<const float> all, int64_t begin, size_t size) {
  return all.empty() ? all : all.subspan(static_cast<size_t>(begin), size);
}

// The weights of one group of a row, columns from `begin` on.
void clip_group(std::span<float> weights, int64_t begin, std::span<const float> scales,
                const OutputError& error, const RtnOptions& grid) {
  float largest = 0.0f;
  for (const float w : weights) largest = std::max(largest, std::fabs(w));
  const auto limit = [&](size_t step) {
    return largest * (1.0f - static_cast<float>(step) / kLimitSteps);
  };
  std::vector<float> errors(kLimits * weights.size());
  for (size_t step = 0; step < kLimits; ++step) {
    const auto row = std::span(errors).subspan(step * weights.size(), weights.size());
    std::ranges::transform(weights, row.begin(),
                           [&](float w) { return std::clamp(w, -limit(step), limit(step)); });
    round_row(row, grid);
    for (size_t i = 0; i < row.size(); ++i) row[i] -= weights[i];
    divide_each(row, scales);
  }
  std::vector<double> losses(kLimits);
  error.mean_squares(errors, begin, losses);
  size_t best = 0;
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t step = 0; step < kLimits; ++step) {
    if (losses[step] < lowest) best = step, lowest = losses[step];
  }
  for (float& w : weights) w = std::clamp(w, -limit(best), limit(best));
}

void clip_rows(Tensor& scaled, std::span<const float> columns, const OutputError& error,
               const RtnOptions& grid, ThreadPool& pool) {
  const int64_t rows = scaled.dim(0), cols = scaled.dim(1);
  const auto values = scaled.mutable_data<float>();
  pool.parallel_for(rows, kSolvedRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t first = 0; first < cols; first += grid.group_size) {
        const auto size = static_cast<size_t>(std::min(cols - first, grid.group_size));
        clip_group(values.subspan(static_cast<size_t>(r * cols + first), size), first,
                   part_of(columns, first, size), error, grid);
      }
    }
  });
}

// Mean squared error of an output whose units are those before the scaling.
double mean_error(const Tensor& dense, const Weight& weight, const MatrixScaling& scaling,
                  const OutputError& error, ThreadPool& pool) {
  const int64_t rows = weight.rows(), cols = weight.cols();
  std::vector<double> losses(static_cast<size_t>(rows));
  pool.parallel_for(rows, kSolvedRowsPerTask, [&](int64_t begin, int64_t end) {
    const auto width = static_cast<size_t>(cols);
    std::vector<float> errors(static_cast<size_t>(end - begin) * width), original(width);
    for (int64_t r = begin; r < end; ++r) {
      const auto row = std::span(errors).subspan(static_cast<size_t>(r - begin) * width, width);
      weight.decode_row(r, row);
      divide_each(row, scaling.columns);
      const float unit = scaling.rows.empty() ? 1.0f : scaling.rows[static_cast<size_t>(r)];
      read_elements(dense, r * cols, original);
      for (size_t i = 0; i < width; ++i) row[i] = row[i] * unit - original[i];
    }
    error.mean_squares(
        errors, 0,
        std::span(losses).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(rows);
}

}  // namespace

AwqSolution solve_awq(const Tensor& dense, const MatrixScaling& scaling, const OutputError& error,
                      const AwqSolverOptions& options, ThreadPool& pool) {
  check_dense_input(dense);
  check_finite(dense);
  Tensor scaled = scaled_matrix(dense, scaling, pool);
  if (options.clip) clip_rows(scaled, scaling.columns, error, options.grid, pool);
  const Weight rounded = round_to_nearest(scaled, pool, options.grid);
  AwqSolution solution;
  solution.weight = Weight::affine_group(rounded.as_affine_group(), rounded.cols(), dense.dtype());
  solution.loss = mean_error(dense, solution.weight, scaling, error, pool);
  return solution;
}

}  // namespace nibble
