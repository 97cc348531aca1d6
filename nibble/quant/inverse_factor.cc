// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/inverse_factor.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

// Rows that are eliminated together: 64 rows of 4,096 doubles stay in a second-level cache.
constexpr int64_t kPanelRows = 64;
// Rows that share one pass over a triangular matrix.
constexpr int64_t kRowsPerPass = 8;

// out -= factor * row, element by element.
NIBBLE_VECTORIZED void subtract_scaled(double* out, const double* row, double factor,
                                       int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] -= factor * row[i];
}

// Factors rows [begin, end) of `a`, from which all rows above have been subtracted: A = Vᵀ V.
bool factor_panel(UpperTriangle<double>& a, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; ++k) {
    double* row = a.row(k);
    for (int64_t p = begin; p < k; ++p) {
      const double* above = a.row(p);
      subtract_scaled(row + k, above + k, above[k], a.size() - k);
    }
    if (!(row[k] > 0.0) || !std::isfinite(row[k])) return false;
    const double root = std::sqrt(row[k]);
    for (int64_t j = k; j < a.size(); ++j) row[j] /= root;
  }
  return true;
}

// Overwrites `a` with V, A = Vᵀ V.
bool cholesky(UpperTriangle<double>& a, ThreadPool& pool) {
  const int64_t size = a.size();
  for (int64_t begin = 0; begin < size; begin += kPanelRows) {
    const int64_t end = std::min(size, begin + kPanelRows);
    if (!factor_panel(a, begin, end)) return false;
    pool.parallel_for(size - end, 4, [&](int64_t first, int64_t last) {
      for (int64_t i = end + first; i < end + last; ++i) {
        for (int64_t p = begin; p < end; ++p) {
          const double* above = a.row(p);
          subtract_scaled(a.row(i) + i, above + i, above[i], size - i);
        }
      }
    });
  }
  return true;
}

// Row r of the inverse of the upper triangular V solves x V = e_r. Rows [begin, end), which `x`
// holds, go over V together.
void invert_rows(const UpperTriangle<double>& v, int64_t begin, int64_t end, double* x) {
  const int64_t size = v.size();
  for (int64_t r = begin; r < end; ++r) x[(r - begin) * size + r] = 1.0;
  for (int64_t k = begin; k < size; ++k) {
    const double* row = v.row(k);
    for (int64_t r = begin; r < std::min(end, k + 1); ++r) {
      double* out = x + (r - begin) * size;
      out[k] /= row[k];
      subtract_scaled(out + k + 1, row + k + 1, out[k], size - k - 1);
    }
  }
}

}  // namespace

// With J reversing an order, J A J = Vᵀ V gives A⁻¹ = (J V⁻¹)(J V⁻¹)ᵀ, and so U = J V⁻ᵀ J: one
// factorization and one triangular inverse, where the textbook's way takes two and three.
std::optional<UpperTriangle<float>> upper_factor_of_inverse(UpperTriangle<double> reversed,
                                                            ThreadPool& pool) {
  if (!cholesky(reversed, pool)) return std::nullopt;
  const int64_t size = reversed.size();
  UpperTriangle<float> upper(size);
  pool.parallel_for(size, kRowsPerPass, [&](int64_t begin, int64_t end) {
    std::vector<double> rows(static_cast<size_t>((end - begin) * size));  // of V⁻¹
    invert_rows(reversed, begin, end, rows.data());
    for (int64_t k = begin; k < size; ++k) {
      float* out = upper.row(size - 1 - k);
      for (int64_t r = begin; r < std::min(end, k + 1); ++r) {
        out[size - 1 - r] = static_cast<float>(rows[static_cast<size_t>((r - begin) * size + k)]);
      }
    }
  });
  return upper;
}

}  // namespace nibble
