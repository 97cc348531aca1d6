// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "nibble/base/error.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/matrix_scaling.h"

namespace nibble {
namespace {

// AutoAWQ's settings.
constexpr int kRatios = 20;
constexpr float kLeastScale = 1e-4f, kBesideWeights = 1e-4f, kBesideLargest = 1e-6f;
// Rows that share one pass over the Hessian.
constexpr int64_t kAwqRows = 8;

// Sums over rows of |w| in units of the largest of its group, added to `sums` [cols].
void add_magnitudes(const Tensor& matrix, const RtnOptions& grid, std::span<double> sums,
                    ThreadPool& pool) {
  const int64_t rows = matrix.dim(0), cols = matrix.dim(1);
  pool.parallel_for(block_count(cols, grid.group_size), 1, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = g * grid.group_size;
      std::vector<float> group(static_cast<size_t>(std::min(cols - first, grid.group_size)));
      for (int64_t r = 0; r < rows; ++r) {
        read_elements(matrix, r * cols + first, group);
        float largest = 0.0f;
        for (const float w : group) largest = std::max(largest, std::fabs(w));
        for (size_t i = 0; i < group.size(); ++i) {
          sums[static_cast<size_t>(first) + i] += std::fabs(group[i]) / (largest + kBesideLargest);
        }
      }
    }
  });
}

// Means of what the columns of a source have.
std::vector<float> means_of_sources(std::span<const double> columns,
                                    std::span<const int32_t> sources) {
  const int32_t count = *std::ranges::max_element(sources) + 1;
  std::vector<double> sums(static_cast<size_t>(count)), columns_of(sums.size());
  for (size_t c = 0; c < columns.size(); ++c) {
    sums[static_cast<size_t>(sources[c])] += columns[c];
    columns_of[static_cast<size_t>(sources[c])] += 1;
  }
  std::vector<float> means(sums.size());
  std::ranges::transform(sums, columns_of, means.begin(), [](double sum, double n) {
    return static_cast<float>(sum / std::max(n, 1.0));
  });
  return means;
}

// Errors of the outputs of one matrix under several scalings of its columns.
class Losses {
 public:
  Losses(std::span<const std::vector<float>> candidates, const OutputError& error,
         const RtnOptions& grid)
      : candidates_(candidates), error_(error), grid_(grid) {}

  // By candidate, summed over rows.
  std::vector<double> of(const Tensor& matrix, ThreadPool& pool) const {
    const int64_t rows = matrix.dim(0);
    std::vector<double> by_row(candidates_.size() * static_cast<size_t>(rows));
    pool.parallel_for(rows, kAwqRows, [&](int64_t begin, int64_t end) {
      const auto count = static_cast<size_t>(end - begin);
      std::vector<float> weights(count * static_cast<size_t>(matrix.dim(1))), errors;
      read_elements(matrix, begin * matrix.dim(1), weights);
      for (size_t i = 0; i < candidates_.size(); ++i) {
        errors = weights;
        for (size_t r = 0; r < count; ++r) {
          const size_t cols = weights.size() / count;
          const auto row = std::span(errors).subspan(r * cols, cols);
          multiply_each(row, candidates_[i]);
          round_row(row, grid_);
          divide_each(row, candidates_[i]);
        }
        for (size_t k = 0; k < errors.size(); ++k) errors[k] -= weights[k];
        const size_t at = i * static_cast<size_t>(rows) + static_cast<size_t>(begin);
        error_.mean_squares(errors, 0, std::span(by_row).subspan(at, count));
      }
    });
    std::vector<double> sums(candidates_.size());
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto first = by_row.begin() + static_cast<int64_t>(i) * rows;
      sums[i] = std::accumulate(first, first + rows, 0.0);
    }
    return sums;
  }

 private:
  std::span<const std::vector<float>> candidates_;
  const OutputError& error_;
  const RtnOptions& grid_;
};

}  // namespace

std::vector<float> awq_scales_of_ratio(std::span<const float> inputs,
                                       std::span<const float> weights, float ratio) {
  std::vector<float> scales(inputs.size());
  for (size_t i = 0; i < scales.size(); ++i) {
    const float by_weights = std::pow(weights[i], 1 - ratio) + kBesideWeights;
    scales[i] = std::max(std::pow(inputs[i], ratio) / by_weights, kLeastScale);
  }
  const auto [smallest, largest] = std::ranges::minmax(scales);
  const float centre = std::sqrt(largest * smallest);
  for (float& scale : scales) {
    scale /= centre;
    if (!std::isfinite(scale)) scale = 1.0f;
  }
  return scales;
}

AwqScales search_awq_scales(std::span<const Tensor> matrices, std::span<const int32_t> sources,
                            const Hessian& inputs, const OutputError& error, const RtnOptions& grid,
                            ThreadPool& pool) {
  std::vector<double> input_means(sources.size()), weight_means(sources.size());
  int64_t rows = 0;
  for (const Tensor& matrix : matrices) {
    check_dense_input(matrix);
    check_finite(matrix);
    add_magnitudes(matrix, grid, weight_means, pool);
    rows += matrix.dim(0);
  }
  for (size_t c = 0; c < sources.size(); ++c) {
    input_means[c] = inputs.mean_magnitude(static_cast<int64_t>(c));
    weight_means[c] /= static_cast<double>(rows);
  }
  const std::vector<float> x = means_of_sources(input_means, sources);
  const std::vector<float> w = means_of_sources(weight_means, sources);

  // By column, those that are all 1 before those of the ratios.
  std::vector<std::vector<float>> candidates = {std::vector<float>(sources.size(), 1.0f)};
  const auto ratio_of = [](size_t candidate) {
    return static_cast<float>(candidate - 1) / static_cast<float>(kRatios);
  };
  for (size_t i = 1; i <= kRatios; ++i) {
    const std::vector<float> scales = awq_scales_of_ratio(x, w, ratio_of(i));
    std::vector<float>& columns = candidates.emplace_back(sources.size());
    for (size_t c = 0; c < columns.size(); ++c) {
      columns[c] = scales[static_cast<size_t>(sources[c])];
    }
  }
  AwqScales result;
  std::vector<double> losses(candidates.size());
  for (const Tensor& matrix : matrices) {
    const std::vector<double> own = Losses(candidates, error, grid).of(matrix, pool);
    result.rounded.push_back(own[0] / static_cast<double>(matrix.dim(0)));
    std::ranges::transform(losses, own, losses.begin(), std::plus());
  }
  size_t best = candidates.size();
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < losses.size(); ++i) {
    if (losses[i] < lowest) best = i, lowest = losses[i];  // never one that is not a number
  }
  if (best == candidates.size()) {
    throw Error("AWQ's search has found no scale with which errors are numbers")
        .expected("weights and activations of usual size");
  }
  if (best > 0) result.ratio = ratio_of(best);
  result.of_sources =
      best > 0 ? awq_scales_of_ratio(x, w, ratio_of(best)) : std::vector<float>(x.size(), 1.0f);
  return result;
}

}  // namespace nibble
