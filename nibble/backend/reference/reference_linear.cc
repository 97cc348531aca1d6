// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/reference/reference_linear.h"

#include <cmath>
#include <vector>

#include "nibble/base/half.h"
#include "nibble/format/int8_activations.h"
#include "nibble/format/int8_row.h"

namespace nibble {
namespace {

using std::size_t;

void linear_float(const Weight& weight, const Tensor& x, const Tensor& bias, Tensor& y) {
  const auto in = x.data<float>();
  const auto out = y.mutable_data<float>();
  const size_t tokens = static_cast<size_t>(x.dim(0));
  const size_t rows = static_cast<size_t>(weight.rows()), cols = static_cast<size_t>(weight.cols());
  std::vector<float> w(cols);
  for (size_t r = 0; r < rows; ++r) {
    weight.decode_row(static_cast<int64_t>(r), w);
    for (size_t t = 0; t < tokens; ++t) {
      double sum = bias.defined() ? bias.data<float>()[r] : 0.0;
      for (size_t c = 0; c < cols; ++c) sum += double{in[t * cols + c]} * w[c];
      out[t * rows + r] = static_cast<float>(sum);
    }
  }
}

// The activations of LLM.int8(): int8 codes per row and the columns that stay float.
struct Int8Activations {
  std::vector<int8_t> codes;     // [tokens, cols], 0 in outlier columns
  std::vector<float> absmax;     // [tokens], over the elements that are no outliers
  std::vector<size_t> outliers;  // columns in which some row has an outlier
};

// The reference implementation rounds x to fp16 first and quantizes what that leaves; outlier
// columns keep their original values. What fp16 cannot hold is an outlier whatever the threshold.
Int8Activations quantize(const Tensor& x, float threshold) {
  const auto in = x.data<float>();
  const size_t tokens = static_cast<size_t>(x.dim(0)), cols = static_cast<size_t>(x.dim(1));
  std::vector<float> rounded(in.size());
  std::vector<bool> outlier(in.size()), outlier_column(cols, false);
  for (size_t i = 0; i < in.size(); ++i) {
    rounded[i] = to_float(to_fp16(in[i]));
    const float magnitude = std::fabs(rounded[i]);
    outlier[i] = !std::isfinite(magnitude) || (threshold > 0.0f && magnitude >= threshold);
    if (outlier[i]) outlier_column[i % cols] = true;
  }

  Int8Activations a{std::vector<int8_t>(in.size()), std::vector<float>(tokens), {}};
  for (size_t c = 0; c < cols; ++c) {
    if (outlier_column[c]) a.outliers.push_back(c);
  }
  for (size_t t = 0; t < tokens; ++t) {
    // The row's absmax also counts the small elements of outlier columns; their codes do not.
    std::vector<float> inliers(cols);
    for (size_t c = 0; c < cols; ++c) {
      inliers[c] = outlier[t * cols + c] ? 0.0f : rounded[t * cols + c];
    }
    const std::span<int8_t> codes(a.codes.data() + t * cols, cols);
    a.absmax[t] = encode_int8_row(inliers, codes);
    for (const size_t c : a.outliers) codes[c] = 0;
  }
  return a;
}

void linear_llm_int8(const Weight& weight, const Tensor& x, const Tensor& bias, Tensor& y) {
  const Int8Activations a = quantize(x, weight.llm_int8_threshold());
  const auto in = x.data<float>();
  const auto codes = weight.as_int8_row().codes.data<int8_t>();
  const auto row_absmax = weight.as_int8_row().absmax.data<float>();
  const auto out = y.mutable_data<float>();
  const size_t tokens = a.absmax.size();
  const size_t rows = static_cast<size_t>(weight.rows()), cols = static_cast<size_t>(weight.cols());
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) {
      int64_t dot = 0;  // exact; the fast kernels' int32 holds it up to 130,000 columns
      for (size_t c = 0; c < cols; ++c) dot += a.codes[t * cols + c] * codes[r * cols + c];
      double sum = static_cast<double>(dot) * a.absmax[t] * row_absmax[r] / (127.0 * 127.0);
      for (const size_t c : a.outliers) {
        sum += double{in[t * cols + c]} * codes[r * cols + c] * row_absmax[r] / kInt8Max;
      }
      if (bias.defined()) sum += bias.data<float>()[r];
      out[t * rows + r] = static_cast<float>(sum);
    }
  }
}

// x as groups of int8 give it back.
Tensor round_activations(const Weight& weight, const Tensor& x) {
  std::span<const int32_t> positions;
  if (weight.layout() == Layout::kAffineGroup && weight.as_affine_group().positions.defined()) {
    positions = weight.as_affine_group().positions.data<int32_t>();
  }
  Tensor rounded = Tensor::empty(DType::kF32, x.shape());
  const auto cols = static_cast<size_t>(x.dim(1));
  for (int64_t t = 0; t < x.dim(0); ++t) {
    const size_t begin = static_cast<size_t>(t) * cols;
    round_int8_activations(x.data<float>().subspan(begin, cols), positions,
                           rounded.mutable_data<float>().subspan(begin, cols));
  }
  return rounded;
}

}  // namespace

void reference_linear(const Weight& weight, const Tensor& x, const Tensor& bias, Tensor& y) {
  if (weight.activation_mode() == ActivationMode::kFloat) return linear_float(weight, x, bias, y);
  if (weight.layout() == Layout::kInt8Row) return linear_llm_int8(weight, x, bias, y);
  linear_float(weight, round_activations(weight, x), bias, y);
}

}  // namespace nibble
