// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hessian.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

// A tile of the Hessian: with AVX-512 its sums are 16 of the 32 registers.
constexpr int64_t kTileRows = 8, kTileCols = 32;
// Tokens that are summed in float32 before the sum joins the others in double. Their kTileCols
// inputs fill most of a first-level cache.
constexpr int64_t kTokensInFloat = 256;

// kTileCols columns of some tokens side by side, [tokens, kTileCols], with zeros beyond the last
// column and token.
using Panel = std::array<float, kTokensInFloat * kTileCols>;

void fill(Panel& panel, const float* x, int64_t tokens, int64_t stride, int64_t cols) {
  if (tokens < kTokensInFloat || cols < kTileCols) panel.fill(0.0f);
  for (int64_t t = 0; t < tokens; ++t) {
    std::copy_n(x + t * stride, std::min(cols, kTileCols), panel.data() + t * kTileCols);
  }
}

// sums [kTileRows, kTileCols] = the sum of rows colsᵀ over the tokens, two of which join it at
// once. `rows` is where some columns of a panel begin, `cols` a panel.
NIBBLE_VECTORIZED void multiply_panels(const float* rows, const float* cols, int64_t tokens,
                                       float* sums) {
  float tile[kTileRows][kTileCols] = {};
  for (int64_t t = 0; t < tokens; t += 2, rows += 2 * kTileCols, cols += 2 * kTileCols) {
    for (int64_t i = 0; i < kTileRows; ++i) {
      const float one = rows[i], two = rows[kTileCols + i];
      for (int64_t j = 0; j < kTileCols; ++j) {
        tile[i][j] += one * cols[j] + two * cols[kTileCols + j];
      }
    }
  }
  std::copy_n(&tile[0][0], kTileRows * kTileCols, sums);
}

}  // namespace

Hessian::Hessian(int64_t cols) : cols_(cols), sums_(cols), magnitudes_(static_cast<size_t>(cols)) {}

void Hessian::add(const Tensor& x, ThreadPool& pool) {
  if (x.rank() != 2 || x.dim(1) != cols_) {
    throw Error("inputs do not fit the Hessian")
        .expected("[tokens, " + std::to_string(cols_) + "]")
        .got(to_string(x.shape()));
  }
  const int64_t tokens = x.dim(0);
  const float* values = x.data<float>().data();
  std::vector<Panel> panels(static_cast<size_t>((cols_ + kTileCols - 1) / kTileCols));
  const auto count = static_cast<int64_t>(panels.size());
  for (int64_t first = 0; first < tokens; first += kTokensInFloat) {
    const int64_t some = std::min(tokens - first, kTokensInFloat);
    pool.parallel_for(count, 1, [&](int64_t p, int64_t) {
      const float* from = values + first * cols_ + p * kTileCols;
      const int64_t width = std::min(kTileCols, cols_ - p * kTileCols);
      fill(panels[static_cast<size_t>(p)], from, some, cols_, width);
      for (int64_t t = 0; t < some; ++t) {
        for (int64_t j = 0; j < width; ++j) {
          magnitudes_[static_cast<size_t>(p * kTileCols + j)] += std::fabs(from[t * cols_ + j]);
        }
      }
    });
    pool.parallel_for(count, 1, [&](int64_t p, int64_t) {
      std::array<float, kTileRows * kTileCols> partial;
      const int64_t left = p * kTileCols, right = std::min(cols_, left + kTileCols);
      for (int64_t top = 0; top < right; top += kTileRows) {
        const Panel& rows = panels[static_cast<size_t>(top / kTileCols)];
        multiply_panels(rows.data() + top % kTileCols, panels[static_cast<size_t>(p)].data(), some,
                        partial.data());
        for (int64_t i = top; i < std::min(right, top + kTileRows); ++i) {
          double* sums = sums_.row(i);
          for (int64_t j = std::max(i, left); j < right; ++j) {
            sums[j] += partial[static_cast<size_t>((i - top) * kTileCols + j - left)];
          }
        }
      }
    });
  }
  tokens_ += tokens;
}

double Hessian::at(int64_t i, int64_t j) const {
  const double sum = sums_.row(std::min(i, j))[std::max(i, j)];
  return 2.0 * sum / static_cast<double>(std::max<int64_t>(1, tokens_));
}

double Hessian::mean_magnitude(int64_t i) const {
  return magnitudes_[static_cast<size_t>(i)] / static_cast<double>(std::max<int64_t>(1, tokens_));
}

}  // namespace nibble
