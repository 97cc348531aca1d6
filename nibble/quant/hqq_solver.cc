// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hqq_solver.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"

namespace nibble {
namespace {

// The library's settings. Its kappa, by which beta would grow, has no effect there.
constexpr float kNorm = 0.7f, kBeta = 10.0f;
constexpr int kIterations = 20;
constexpr float kSmallestRange = 1e-4f;    // below it the steps are as wide as 1
constexpr float kMostStepsPerUnit = 2e4f;  // scales must not vanish in float16
constexpr int64_t kHqqElementsPerTask = 16 << 10;

// All groups of a matrix, by number: the steps per unit (the inverse of the scale) and the zero.
struct Problem {
  const HqqShape& shape;
  float last;  // code
  std::vector<float> values, steps, zeros;

  int64_t groups() const { return static_cast<int64_t>(steps.size()); }
  size_t at(int64_t group, int64_t i) const {
    return static_cast<size_t>(shape.axis == 0 ? i * groups() + group
                                               : group * shape.group_size + i);
  }
  float code(float w, size_t group) const {
    return std::clamp(std::nearbyint(w * steps[group] + zeros[group]), 0.0f, last);
  }
};

void set_range(Problem& problem, int64_t group, bool round_zero) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (int64_t i = 0; i < problem.shape.group_size; ++i) {
    const float w = problem.values[problem.at(group, i)];
    low = std::min(low, w);
    high = std::max(high, w);
  }
  const float range = high - low;
  // In two roundings, as torch divides a number by a tensor: ties of the first codes depend on it.
  const float quotient = problem.last * (1.0f / range);
  const float steps = range <= kSmallestRange ? 1.0f : std::min(quotient, kMostStepsPerUnit);
  const float zero = -low * steps;
  problem.steps[static_cast<size_t>(group)] = steps;
  problem.zeros[static_cast<size_t>(group)] = round_zero ? std::nearbyint(zero) : zero;
}

// The part of an error that the norm leaves as an outlier.
float shrunk(float error) {
  const float magnitude = std::fabs(error);
  const float rest = magnitude - std::pow(magnitude, kNorm - 1.0f) / kBeta;
  return rest > 0.0f ? std::copysign(rest, error) : 0.0f;  // 0^negative is infinite: no outlier
}

// One step of a group's zero; returns the sum of the errors before it.
double improve_zero(Problem& problem, int64_t group) {
  const auto g = static_cast<size_t>(group);
  const float steps = problem.steps[g], zero = problem.zeros[g];
  double errors = 0.0, sum = 0.0;
  for (int64_t i = 0; i < problem.shape.group_size; ++i) {
    const float w = problem.values[problem.at(group, i)];
    const float code = problem.code(w, g);
    const float error = w - (code - zero) / steps;
    errors += std::fabs(error);
    sum += code - (w - shrunk(error)) * steps;
  }
  problem.zeros[g] = static_cast<float>(sum / static_cast<double>(problem.shape.group_size));
  return errors;
}

// Until the mean error of the whole matrix, in float32, stops falling.
void improve_zeros(Problem& problem, ThreadPool& pool, int64_t grain) {
  float best = std::numeric_limits<float>::infinity();
  std::vector<double> errors(problem.steps.size());
  for (int i = 0; i < kIterations; ++i) {
    pool.parallel_for(problem.groups(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g)
        errors[static_cast<size_t>(g)] = improve_zero(problem, g);
    });
    const double sum = std::accumulate(errors.begin(), errors.end(), 0.0);
    const auto error = static_cast<float>(sum / static_cast<double>(problem.values.size()));
    if (!(error < best)) break;
    best = error;
  }
}

}  // namespace

Weight solve_hqq(const Tensor& dense, ThreadPool& pool, const HqqShape& shape,
                 const HqqWeightParams& params) {
  check_dense_input(dense);
  check_finite(dense);
  const int64_t count = dense.numel(), groups = count / shape.group_size;
  const int64_t bits = hqq_stored_bits(params.nbits);
  Problem problem{.shape = shape,
                  .last = static_cast<float>(std::nearbyint(std::exp2(params.nbits)) - 1.0),
                  .values = std::vector<float>(static_cast<size_t>(count)),
                  .steps = std::vector<float>(static_cast<size_t>(groups)),
                  .zeros = std::vector<float>(static_cast<size_t>(groups))};
  read_elements(dense, 0, problem.values);
  const int64_t grain = std::max<int64_t>(1, kHqqElementsPerTask / shape.group_size);
  pool.parallel_for(groups, grain, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) set_range(problem, g, params.round_zero);
  });
  if (params.optimize) improve_zeros(problem, pool, grain);

  Tensor codes = Tensor::empty(DType::kU8, dense.shape());
  const auto out = codes.mutable_data<uint8_t>();
  pool.parallel_for(groups, grain, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      for (int64_t i = 0; i < shape.group_size; ++i) {
        const size_t at = problem.at(g, i);
        out[at] = static_cast<uint8_t>(problem.code(problem.values[at], static_cast<size_t>(g)));
      }
    }
  });
  const auto rounded = [&](std::vector<float> floats) {
    return to_dtype(to_dtype(Tensor::from(floats, shape.scales()), dense.dtype()), DType::kF32);
  };
  AffineGroup packed;
  packed.bits = bits;
  packed.group_size = shape.axis == 0 ? 1 : shape.group_size;
  packed.scale_dtype = dense.dtype();
  packed.codes = pack_code_matrix(codes, bits);
  packed.zeros = rounded(problem.zeros);
  for (float& steps : problem.steps) steps = 1.0f / steps;
  packed.scales = rounded(problem.steps);
  return Weight::affine_group(std::move(packed), dense.dim(1), dense.dtype());
}

}  // namespace nibble
