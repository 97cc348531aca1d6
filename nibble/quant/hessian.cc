// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hessian.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

// A tile of the Hessian: with AVX-512 its sums are 16 of the 32 registers.
constexpr int64_t kTileRows = 8, kTileCols = 32;
// Tokens that are summed in float32 before the sum joins the others in double. Their kTileCols
// inputs fill most of a first-level cache.
constexpr int64_t kTokensInFloat = 256;

// Some columns of up to kTokensInFloat tokens, side by side, with zeros beyond the last column and
// token.
template <int64_t kCols>
struct Panel {
  std::array<float, kTokensInFloat * kCols> values;  // [tokens, kCols]

  void fill(const float* x, int64_t tokens, int64_t stride, int64_t cols) {
    if (tokens < kTokensInFloat || cols < kCols) values.fill(0.0f);
    for (int64_t t = 0; t < tokens; ++t) {
      const float* from = x + t * stride;
      float* to = values.data() + t * kCols;
      if (cols < kCols) {
        std::copy_n(from, cols, to);
      } else {  // of a known length: a few moves and no call
        for (int64_t j = 0; j < kCols; ++j) to[j] = from[j];
      }
    }
  }
};

// sums = the sum of rows colsᵀ over the tokens, two of which join it at once.
NIBBLE_VECTORIZED void multiply_panels(const float* rows, const float* cols, int64_t tokens,
                                       float* sums) {
  float tile[kTileRows][kTileCols] = {};
  for (int64_t t = 0; t < tokens; t += 2, rows += 2 * kTileRows, cols += 2 * kTileCols) {
    for (int64_t i = 0; i < kTileRows; ++i) {
      const float one = rows[i], two = rows[kTileRows + i];
      for (int64_t j = 0; j < kTileCols; ++j) {
        tile[i][j] += one * cols[j] + two * cols[kTileCols + j];
      }
    }
  }
  std::copy_n(&tile[0][0], kTileRows * kTileCols, sums);
}

}  // namespace

Hessian::Hessian(int64_t cols)
    : cols_(cols),
      sums_(static_cast<size_t>(cols * cols)),
      magnitudes_(static_cast<size_t>(cols)) {}

void Hessian::add(const Tensor& x, ThreadPool& pool) {
  if (x.rank() != 2 || x.dim(1) != cols_) {
    throw Error("inputs do not fit the Hessian")
        .expected("[tokens, " + std::to_string(cols_) + "]")
        .got(to_string(x.shape()));
  }
  const int64_t tokens = x.dim(0);
  const float* values = x.data<float>().data();
  pool.parallel_for((cols_ + kTileCols - 1) / kTileCols, 1, [&](int64_t panel, int64_t) {
    const auto rows = std::make_unique<Panel<kTileRows>>();
    const auto cols = std::make_unique<Panel<kTileCols>>();
    std::array<float, kTileRows * kTileCols> partial;
    const int64_t left = panel * kTileCols, right = std::min(cols_, left + kTileCols);
    for (int64_t first = 0; first < tokens; first += kTokensInFloat) {
      const int64_t count = std::min(tokens - first, kTokensInFloat);
      const float* x_first = values + first * cols_;
      cols->fill(x_first + left, count, cols_, right - left);
      for (int64_t t = 0; t < count; ++t) {
        for (int64_t j = left; j < right; ++j) {
          magnitudes_[static_cast<size_t>(j)] += std::fabs(x_first[t * cols_ + j]);
        }
      }
      for (int64_t top = 0; top < right; top += kTileRows) {
        rows->fill(x_first + top, count, cols_, right - top);
        multiply_panels(rows->values.data(), cols->values.data(), count, partial.data());
        for (int64_t i = top; i < std::min(right, top + kTileRows); ++i) {
          for (int64_t j = std::max(i, left); j < right; ++j) {
            sums_[static_cast<size_t>(i * cols_ + j)] +=
                partial[static_cast<size_t>((i - top) * kTileCols + j - left)];
          }
        }
      }
    }
  });
  tokens_ += tokens;
}

double Hessian::at(int64_t i, int64_t j) const {
  const int64_t place = std::min(i, j) * cols_ + std::max(i, j);
  return 2.0 * sums_[static_cast<size_t>(place)] /
         static_cast<double>(std::max<int64_t>(1, tokens_));
}

double Hessian::mean_magnitude(int64_t i) const {
  return magnitudes_[static_cast<size_t>(i)] / static_cast<double>(std::max<int64_t>(1, tokens_));
}

}  // namespace nibble
