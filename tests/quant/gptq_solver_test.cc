// SPDX-License-Identifier: Apache-2.0
//
// GPTQ's solver against tests/golden/gptq.*, an implementation of its own of the published
// algorithm (make_gptq_golden.py), and what must hold of it on any matrix.
#include "nibble/quant/gptq_solver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "nibble/base/random.h"
#include "nibble/io/checkpoint.h"
#include "nibble/io/json_file.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/gptq.h"
#include "nibble/quant/inverse_factor.h"
#include "tests/quant/quant_testing.h"
#include "tests/testing/paths.h"

namespace nibble {
namespace {

Tensor normal(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed);
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

// Inputs whose columns depend on each other, as those of a network do.
Tensor mixed_inputs(int64_t tokens, int64_t cols) {
  Tensor x = normal(tokens, cols, 7);
  auto values = x.mutable_data<float>();
  for (size_t i = 1; i < values.size(); ++i) values[i] += 0.8f * values[i - 1];
  return x;
}

Hessian hessian_of(const Tensor& x, ThreadPool& pool) {
  Hessian hessian(x.dim(1));
  hessian.add(x, pool);
  return hessian;
}

GptqSolverOptions options_for(int64_t bits, int64_t group_size, bool sym) {
  GptqConfig config;
  config.format = "gptq_v2";
  config.bits = bits;
  config.group_size = group_size;
  config.sym = sym;
  GptqSolverOptions options;
  options.grid = GptqScheme(config).grid_options(group_size);
  return options;
}

// The mean squared error of an output for the inputs of the Hessian.
double output_error(const Tensor& dense, const Weight& weight, const Hessian& hessian) {
  const Tensor decoded = weight.dequantize(DType::kF32);
  const auto a = dense.data<float>(), b = decoded.data<float>();
  const int64_t cols = dense.dim(1);
  double sum = 0;
  for (int64_t r = 0; r < dense.dim(0); ++r) {
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        const auto at_i = static_cast<size_t>(r * cols + i);
        const auto at_j = static_cast<size_t>(r * cols + j);
        sum += double{a[at_i] - b[at_i]} * double{a[at_j] - b[at_j]} * hessian.at(i, j);
      }
    }
  }
  return sum / (2.0 * static_cast<double>(dense.dim(0)));
}

bool same(const Tensor& a, const Tensor& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

TEST(GptqSolver, ChoosesTheCodesOfThePublishedAlgorithm) {
  ThreadPool pool(2);
  const Checkpoint golden = Checkpoint::open(paths::golden("gptq.safetensors"));
  const Tensor bytes = golden.tensor("inputs");
  Tensor inputs = Tensor::empty(DType::kF32, bytes.shape());
  std::ranges::transform(bytes.data<int8_t>(), inputs.mutable_data<float>().begin(),
                         [](int8_t x) { return static_cast<float>(x) / 16.0f; });
  const nlohmann::ordered_json cases = read_json_file(paths::golden("gptq.json"));
  for (const auto& test : cases["cases"]) {
    SCOPED_TRACE(test.dump());
    GptqSolverOptions options = options_for(test["bits"], test["group_size"], test["sym"]);
    options.parity = true;
    options.act_group_aware = false;
    options.desc_act = test["desc_act"];
    options.static_groups = test["static_groups"];
    options.damp_percent = test["damp_percent"];
    const GptqFactor factor = factor_hessian(hessian_of(inputs, pool), options, pool);
    EXPECT_DOUBLE_EQ(factor.damp_percent, 0.01);
    const GptqSolution solution = solve_gptq(golden.tensor("weight"), factor, options, pool);
    const AffineGroup& packed = solution.weight.as_affine_group();
    const Tensor stored =
        packed.positions.defined()
            ? with_columns_in(ColumnOrder::kOriginal, packed.codes, packed.positions, packed.bits)
            : packed.codes;
    const std::string name = test["name"];
    const Tensor codes = unpack_code_matrix(stored, inputs.dim(1), packed.bits);
    EXPECT_TRUE(same(codes, golden.tensor(name + ".codes")));
    EXPECT_TRUE(same(*zero_codes(packed), golden.tensor(name + ".zeros")));
    // Scales follow from sums of float32 here and of double there, before they are rounded to
    // float16: they can fall on the other side of a tie, a unit in the last place away.
    const Tensor scales = to_dtype(golden.tensor(name + ".scales"), DType::kF32);
    for (size_t i = 0; i < scales.data<float>().size(); ++i) {
      const float expected = scales.data<float>()[i];
      EXPECT_NEAR(packed.scales.data<float>()[i], expected, expected * 0x1p-10f);
    }
  }
}

TEST(GptqSolver, LeavesLessErrorThanRoundingToNearest) {
  ThreadPool pool(2);
  const Tensor dense = normal(16, 160, 3), inputs = mixed_inputs(400, 160);
  const Hessian hessian = hessian_of(inputs, pool);
  for (const int64_t bits : {2, 3, 4}) {
    for (const bool sym : {false, true}) {
      for (const bool desc_act : {false, true}) {
        GptqSolverOptions options = options_for(bits, 32, sym);
        options.desc_act = desc_act;
        options.damp_percent = 0.01;
        const GptqFactor factor = factor_hessian(hessian, options, pool);
        const GptqSolution solution = solve_gptq(dense, factor, options, pool);
        const double left = output_error(dense, solution.weight, hessian);
        const double nearest =
            output_error(dense, round_to_nearest(dense, pool, options.grid), hessian);
        EXPECT_LT(left, 0.7 * nearest) << bits << sym << desc_act;
        // The loop counts the damping as an error, too.
        EXPECT_GE(solution.loss, left * 0.999);
        EXPECT_LE(solution.loss, left * 1.2);
      }
    }
  }
}

TEST(GptqSolver, BytesDoNotDependOnTheNumberOfThreads) {
  ThreadPool one(1), three(3);
  const Tensor dense = normal(37, 200, 4), inputs = mixed_inputs(333, 200);
  GptqSolverOptions options = options_for(4, 64, false);
  const auto solve = [&](ThreadPool& pool) {
    return solve_gptq(dense, factor_hessian(hessian_of(inputs, pool), options, pool), options,
                      pool);
  };
  const GptqSolution a = solve(one), b = solve(three);
  EXPECT_TRUE(same(a.weight.as_affine_group().codes, b.weight.as_affine_group().codes));
  EXPECT_TRUE(same(a.weight.as_affine_group().scales, b.weight.as_affine_group().scales));
  EXPECT_EQ(a.loss, b.loss);
}

TEST(GptqSolver, FewTokensAndDeadColumnsAreNoObstacle) {
  ThreadPool pool(2);
  Tensor inputs = mixed_inputs(3, 64);  // of rank 3
  for (size_t t = 0; t < 3; ++t) inputs.mutable_data<float>()[t * 64 + 9] = 0.0f;
  const GptqSolverOptions options = options_for(4, 32, true);
  const GptqFactor factor = factor_hessian(hessian_of(inputs, pool), options, pool);
  const GptqSolution solution = solve_gptq(normal(8, 64, 5), factor, options, pool);
  const Tensor decoded = solution.weight.dequantize(DType::kF32);
  for (size_t r = 0; r < 8; ++r) EXPECT_EQ(decoded.data<float>()[r * 64 + 9], 0.0f);
}

TEST(GptqSolver, RefusesWhatCalibrationCannotHaveMeant) {
  ThreadPool pool(2);
  const GptqSolverOptions options = options_for(4, 32, true);
  EXPECT_EQ(message_of([&] { factor_hessian(Hessian(64), options, pool); }),
            "calibration has seen no token");
  Tensor inputs = mixed_inputs(5, 64);
  inputs.mutable_data<float>()[70] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { factor_hessian(hessian_of(inputs, pool), options, pool); }),
            "activations of calibration are not finite");
  const GptqFactor factor = factor_hessian(hessian_of(mixed_inputs(90, 64), pool), options, pool);
  EXPECT_EQ(message_of([&] { solve_gptq(normal(8, 32, 5), factor, options, pool); }),
            "the matrix does not fit the Hessian: expected 64 columns, got 32");
}

TEST(InverseFactor, TimesItselfAndTheMatrixIsOne) {
  ThreadPool pool(2);
  constexpr int64_t kSize = 150;  // more than two panels
  const Hessian hessian = hessian_of(mixed_inputs(600, kSize), pool);
  UpperTriangle<double> reversed(kSize);
  for (int64_t i = 0; i < kSize; ++i) {
    for (int64_t j = i; j < kSize; ++j) {
      reversed.row(i)[j] = hessian.at(kSize - 1 - i, kSize - 1 - j);
    }
  }
  const auto upper = upper_factor_of_inverse(reversed, pool);
  ASSERT_TRUE(upper);
  const auto u = [&](int64_t i, int64_t j) { return double{upper->row(i)[j]}; };
  for (int64_t i = 0; i < kSize; i += 7) {
    for (int64_t j = 0; j < kSize; ++j) {
      double product = 0;  // of row i of UᵀU and column j of the matrix
      for (int64_t k = 0; k < kSize; ++k) {
        double inverse = 0;
        for (int64_t m = 0; m <= std::min(i, k); ++m) inverse += u(m, i) * u(m, k);
        product += inverse * hessian.at(k, j);
      }
      // U is rounded to float32; the condition of this matrix is about 100.
      EXPECT_NEAR(product, i == j ? 1.0 : 0.0, 1e-4);
    }
  }
  reversed.row(3)[3] = -1.0;
  EXPECT_FALSE(upper_factor_of_inverse(reversed, pool));
}

}  // namespace
}  // namespace nibble
