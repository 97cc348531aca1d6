// SPDX-License-Identifier: Apache-2.0
//
// AWQ's search and clipping against what the same inputs give when they are run, one by one,
// through matrices in double precision, here and in tests/golden/make_awq_golden.py.
#include "nibble/quant/awq_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nibble/base/random.h"
#include "nibble/io/json_file.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/awq.h"
#include "nibble/quant/awq_solver.h"
#include "tests/quant/quant_testing.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

Tensor random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed);
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

// Columns of very different sizes, which depend on each other.
Tensor uneven_inputs(int64_t tokens, int64_t cols) {
  Tensor x = random_matrix(tokens, cols, 7);
  auto values = x.mutable_data<float>();
  for (size_t i = 1; i < values.size(); ++i) values[i] += 0.5f * values[i - 1];
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % static_cast<size_t>(cols) % 7 == 3) values[i] *= 20.0f;
  }
  return x;
}

Hessian seen(const Tensor& inputs) {
  ThreadPool pool(2);
  Hessian hessian(inputs.dim(1));
  hessian.add(inputs, pool);
  return hessian;
}

RtnOptions awq_grid(int64_t group_size, int64_t cols, bool zero_point = true) {
  AwqConfig config;
  config.format = "gemm";
  config.group_size = group_size;
  config.zero_point = zero_point;
  return AwqScheme(config).grid_options(cols);
}

std::vector<int32_t> one_by_one(int64_t cols) {
  std::vector<int32_t> sources(static_cast<size_t>(cols));
  std::iota(sources.begin(), sources.end(), 0);
  return sources;
}

// Mean over tokens of the sum over outputs of (x · d)², in columns [begin, end) of the errors d.
double run_errors(const std::vector<double>& errors, const Tensor& inputs, int64_t begin,
                  int64_t end) {
  const int64_t cols = inputs.dim(1), rows = static_cast<int64_t>(errors.size()) / cols;
  double sum = 0;
  for (int64_t t = 0; t < inputs.dim(0); ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double y = 0;
      for (int64_t c = begin; c < end; ++c) {
        y += errors[static_cast<size_t>(r * cols + c)] *
             inputs.data<float>()[static_cast<size_t>(t * cols + c)];
      }
      sum += y * y;
    }
  }
  return sum / static_cast<double>(inputs.dim(0));
}

// decoded(matrix * scales) / scales - matrix.
std::vector<double> rounding_errors(const Tensor& matrix, const std::vector<float>& scales,
                                    const RtnOptions& grid) {
  ThreadPool pool(1);
  const Tensor scaled = scaled_matrix(matrix, {.columns = scales, .rows = {}}, pool);
  const Tensor decoded = round_to_nearest(scaled, pool, grid).dequantize(DType::kF32);
  std::vector<double> errors;
  for (size_t i = 0; i < scaled.data<float>().size(); ++i) {
    errors.push_back(double{decoded.data<float>()[i]} / scales[i % scales.size()] -
                     double{matrix.data<float>()[i]});
  }
  return errors;
}

TEST(OutputError, IsThatOfTheOutputsOfTheSeenInputs) {
  const Tensor inputs = uneven_inputs(50, 37), matrix = random_matrix(5, 37, 3);
  const OutputError error(seen(inputs));
  const auto values = matrix.data<float>();
  std::vector<double> by_row(5);
  error.mean_squares(values, 0, by_row);
  const double all = run_errors({values.begin(), values.end()}, inputs, 0, 37);
  // Sums in float32 over 37 columns.
  EXPECT_NEAR(std::accumulate(by_row.begin(), by_row.end(), 0.0), all, 1e-5 * all);
  // Columns 10 to 23 of the first row alone.
  std::vector<double> part(37), one(1);
  std::copy(values.begin() + 10, values.begin() + 23, part.begin() + 10);
  error.mean_squares(values.subspan(10, 13), 10, one);
  const double expected = run_errors(part, inputs, 0, 37);
  EXPECT_NEAR(one[0], expected, 1e-5 * expected);
}

TEST(RoundRow, GivesWhatCodesDecodeTo) {
  ThreadPool pool(1);
  for (const bool zero_point : {true, false}) {
    for (const int64_t group : {32, -1, 7}) {
      const RtnOptions grid = awq_grid(group, 75, zero_point);
      Tensor matrix = random_matrix(4, 75, 5);
      std::ranges::fill(matrix.mutable_data<float>().subspan(0, 75), 0.0f);
      const Tensor decoded = round_to_nearest(matrix, pool, grid).dequantize(DType::kF32);
      for (size_t r = 0; r < 4; ++r)
        round_row(matrix.mutable_data<float>().subspan(r * 75, 75), grid);
      EXPECT_TRUE(std::ranges::equal(matrix.data<float>(), decoded.data<float>()));
    }
  }
}

TEST(AwqSearch, ScalesFollowTheFormulaByHand) {
  // r = 1/2: sqrt(4) / (sqrt(0.25) + 1e-4) and sqrt(1) / (sqrt(1) + 1e-4), over the root of both.
  const float a = 2.0f / 0.5001f, b = 1.0f / 1.0001f, centre = std::sqrt(a * b);
  const std::vector<float> scales =
      awq_scales_of_ratio(std::vector{4.0f, 1.0f}, std::vector{0.25f, 1.0f}, 0.5f);
  EXPECT_FLOAT_EQ(scales[0], a / centre);
  EXPECT_FLOAT_EQ(scales[1], b / centre);
  // An input that is never other than 0 does not spoil the others.
  for (const float s :
       awq_scales_of_ratio(std::vector{0.0f, 1.0f}, std::vector{0.0f, 1.0f}, 0.5f)) {
    EXPECT_TRUE(std::isfinite(s) && s > 0);
  }
}

TEST(AwqSearch, FindsTheRatioThatRunningAllOfThemFinds) {
  ThreadPool pool(2);
  const Tensor inputs = uneven_inputs(60, 64);
  const std::vector<Tensor> matrices = {random_matrix(12, 64, 1), random_matrix(5, 64, 2)};
  const Hessian hessian = seen(inputs);
  for (const int64_t group : {16, 32, -1}) {
    for (const bool zero_point : {true, false}) {
      const RtnOptions grid = awq_grid(group, 64, zero_point);
      const AwqScales found =
          search_awq_scales(matrices, one_by_one(64), hessian, OutputError(hessian), grid, pool);
      std::vector<float> x(64), w(64);
      for (size_t c = 0; c < 64; ++c) {
        for (size_t t = 0; t < 60; ++t) x[c] += std::fabs(inputs.data<float>()[t * 64 + c]) / 60;
        const auto width = static_cast<size_t>(grid.group_size);
        for (const Tensor& matrix : matrices) {
          for (size_t r = 0; r < static_cast<size_t>(matrix.dim(0)); ++r) {
            const auto own = matrix.data<float>().subspan(r * 64 + c / width * width, width);
            float largest = 0;
            for (const float v : own) largest = std::max(largest, std::fabs(v));
            w[c] += std::fabs(own[c % width]) / (largest + 1e-6f) / 17;
          }
        }
      }
      double lowest = INFINITY, ratio = -1;
      for (int i = 0; i < 20; ++i) {
        const std::vector<float> scales = awq_scales_of_ratio(x, w, static_cast<float>(i) / 20);
        double loss = 0;
        for (const Tensor& matrix : matrices) {
          loss += run_errors(rounding_errors(matrix, scales, grid), inputs, 0, 64);
        }
        if (loss < lowest) lowest = loss, ratio = i / 20.0;
      }
      EXPECT_NEAR(found.ratio, ratio, 1e-6) << group << zero_point;
      const std::vector<float> ones(64, 1.0f);
      const double plain = run_errors(rounding_errors(matrices[1], ones, grid), inputs, 0, 64) / 5;
      EXPECT_NEAR(found.rounded[1], plain, 1e-4 * plain);
    }
  }
}

// Rows of integers, of `units` to 1.
Tensor matrix_of(const nlohmann::ordered_json& rows, float units) {
  Tensor out = Tensor::empty(
      DType::kF32, {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())});
  size_t at = 0;
  for (const auto& row : rows) {
    for (const auto& x : row) out.mutable_data<float>()[at++] = x.get<float>() / units;
  }
  return out;
}

TEST(AwqSearch, ScalesAndCodesAreThoseOfAnImplementationOfItsOwn) {
  ThreadPool pool(2);
  const auto golden = read_json_file(paths::golden("awq.json"));
  const Tensor inputs = matrix_of(golden["inputs_of_16"], 16);
  const Tensor all = matrix_of(golden["weights_of_64"], 64);
  const int64_t first = golden["rows"][0], rows = all.dim(0), cols = all.dim(1);
  const std::vector<Tensor> matrices = {all.slice_rows(0, first), all.slice_rows(first, rows)};
  const Hessian hessian = seen(inputs);
  const OutputError error(hessian);
  for (const auto& test : golden["cases"]) {
    SCOPED_TRACE(test["group_size"].dump());
    const RtnOptions grid = awq_grid(test["group_size"], cols);
    const AwqScales found =
        search_awq_scales(matrices, one_by_one(cols), hessian, error, grid, pool);
    EXPECT_NEAR(found.ratio, test["ratio"].get<double>(), 1e-6);
    for (size_t c = 0; c < found.of_sources.size(); ++c) {
      const float expected = test["scales"][c];
      EXPECT_NEAR(found.of_sources[c], expected, 1e-5f * expected);  // float32 here
    }
    const MatrixScaling scaling{found.of_sources, {}};
    const AwqSolution solution = solve_awq(all, scaling, error, {.grid = grid}, pool);
    const Tensor codes = unpack_code_matrix(solution.weight.as_affine_group().codes, cols, 4);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        EXPECT_EQ(codes.data<uint8_t>()[static_cast<size_t>(r * cols + c)],
                  test["codes"][static_cast<size_t>(r)][static_cast<size_t>(c)].get<int>());
      }
    }
  }
}

TEST(AwqSearch, InputsOfOneSourceShareAScale) {
  ThreadPool pool(2);
  const Hessian hessian = seen(uneven_inputs(60, 24));
  const std::vector<Tensor> matrices = {random_matrix(9, 24, 1)};
  std::vector<int32_t> sources;
  for (int32_t c = 0; c < 24; ++c) sources.push_back(c / 8 * 4 + c % 4);
  const AwqScales found =
      search_awq_scales(matrices, sources, hessian, OutputError(hessian), awq_grid(8, 24), pool);
  EXPECT_EQ(found.of_sources.size(), 12u);
}

TEST(AwqSearch, ResultsDoNotDependOnTheNumberOfThreads) {
  ThreadPool one(1), three(3);
  const Hessian hessian = seen(uneven_inputs(90, 75));
  const std::vector<Tensor> matrices = {random_matrix(37, 75, 1), random_matrix(6, 75, 2)};
  const auto run = [&](ThreadPool& pool) {
    const OutputError error(hessian);
    const AwqScales scales =
        search_awq_scales(matrices, one_by_one(75), hessian, error, awq_grid(32, 75), pool);
    const AwqSolution solution = solve_awq(matrices[0], {.columns = scales.of_sources, .rows = {}},
                                           error, {.grid = awq_grid(32, 75)}, pool);
    const auto codes = solution.weight.as_affine_group().codes.data<uint8_t>();
    return std::tuple(scales.of_sources, scales.rounded, solution.loss,
                      std::vector<uint8_t>(codes.begin(), codes.end()));
  };
  EXPECT_EQ(run(one), run(three));
}

TEST(AwqSearch, ALossThatIsNoNumberNeverWins) {
  ThreadPool pool(1);
  const Hessian hessian = seen(uneven_inputs(20, 8));
  // Scales of such weights are infinite in float16, and what they decode to is not a number.
  Tensor huge = random_matrix(2, 8, 1);
  for (float& w : huge.mutable_data<float>()) w *= 1e30f;
  EXPECT_EQ(message_of([&] {
              search_awq_scales(std::vector{huge}, one_by_one(8), hessian, OutputError(hessian),
                                awq_grid(-1, 8), pool);
            }),
            "AWQ's search has found no scale with which errors are numbers: expected weights and "
            "activations of usual size");
  EXPECT_EQ(message_of([] { OutputError(Hessian(8)); }), "calibration has seen no token");
}

TEST(AwqSolver, CutsEachGroupWhereRunningAllLimitsSaysSo) {
  ThreadPool pool(2);
  const int64_t rows = 6, cols = 44;
  const Tensor inputs = uneven_inputs(30, cols);
  Tensor matrix = random_matrix(rows, cols, 4);
  for (size_t i = 0; i < matrix.data<float>().size(); i += 9) matrix.mutable_data<float>()[i] *= 4;
  std::vector<float> scales(static_cast<size_t>(cols)), units(static_cast<size_t>(rows), 2.0f);
  for (size_t c = 0; c < scales.size(); ++c) scales[c] = c % 7 == 3 ? 3.0f : 0.5f;
  for (const int64_t group : {16, -1}) {
    const RtnOptions grid = awq_grid(group, cols);
    const MatrixScaling scaling{scales, units};
    Tensor scaled = scaled_matrix(matrix, scaling, pool);
    const auto values = scaled.mutable_data<float>();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t first = 0; first < cols; first += grid.group_size) {
        const int64_t size = std::min(cols - first, grid.group_size);
        const auto own =
            values.subspan(static_cast<size_t>(r * cols + first), static_cast<size_t>(size));
        float largest = 0;
        for (const float w : own) largest = std::max(largest, std::fabs(w));
        double lowest = INFINITY;
        float best = 0;
        for (int i = 0; i < 10; ++i) {
          const float limit = largest * (1.0f - static_cast<float>(i) / 20.0f);
          std::vector<float> cut;
          for (const float w : own) cut.push_back(std::clamp(w, -limit, limit));
          round_row(cut, grid);
          std::vector<double> errors(static_cast<size_t>(cols));
          for (size_t k = 0; k < cut.size(); ++k) {
            const size_t c = static_cast<size_t>(first) + k;
            errors[c] = (double{cut[k]} - own[k]) / scales[c];
          }
          const double loss = run_errors(errors, inputs, first, first + size);
          if (loss < lowest) lowest = loss, best = limit;
        }
        for (float& w : own) w = std::clamp(w, -best, best);
      }
    }
    const Weight expected = round_to_nearest(scaled, pool, grid);
    const OutputError error(seen(inputs));
    const AwqSolution cut = solve_awq(matrix, scaling, error, {.grid = grid}, pool);
    EXPECT_TRUE(std::ranges::equal(cut.weight.as_affine_group().codes.bytes(),
                                   expected.as_affine_group().codes.bytes()));
    const AwqSolution whole =
        solve_awq(matrix, scaling, error, {.grid = grid, .clip = false}, pool);
    EXPECT_LT(cut.loss, whole.loss);
    // Units of the outputs do not change what counts.
    const double plain = run_errors(rounding_errors(matrix, scales, grid), inputs, 0, cols) /
                         static_cast<double>(rows);
    EXPECT_NEAR(whole.loss, plain, 1e-3 * plain);  // scales of half the size round alike in float16
  }
}

}  // namespace
}  // namespace nibble
