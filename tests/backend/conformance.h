// SPDX-License-Identifier: Apache-2.0
//
// What the conformance tests share: random tensors and weights of every layout, the reference
// backend, and a fixture that repeats a test on every instruction set of this processor.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nibble/backend/cpu/target.h"
#include "nibble/backend/registry.h"
#include "nibble/base/random.h"

namespace nibble::conformance {

// Half an ulp of 1.0f: the relative error of one rounding.
inline constexpr float kRounding = 0x1p-24f;

inline std::unique_ptr<Backend> cpu_backend(int threads) {
  return make_backend("cpu", std::make_shared<ThreadPool>(threads));
}

inline Tensor random_tensor(Random& random, Shape shape, float scale = 1.0f) {
  Tensor tensor = Tensor::empty(DType::kF32, std::move(shape));
  for (float& value : tensor.mutable_data<float>()) value = random.normal() * scale;
  return tensor;
}

inline Weight dense_weight(Random& random, int64_t rows, int64_t cols, DType dtype) {
  return Weight::dense(to_dtype(random_tensor(random, {rows, cols}, 0.05f), dtype));
}

inline Weight int8_weight(Random& random, int64_t rows, int64_t cols, ActivationMode mode,
                          float threshold = 6.0f) {
  Int8Row packed{Tensor::empty(DType::kI8, {rows, cols}), Tensor::empty(DType::kF32, {rows})};
  const Tensor values = random_tensor(random, {rows, cols}, 0.05f);
  const auto codes = packed.codes.mutable_data<int8_t>();
  const auto absmax = packed.absmax.mutable_data<float>();
  for (int64_t r = 0; r < rows; ++r) {
    const auto begin = static_cast<size_t>(r * cols), size = static_cast<size_t>(cols);
    absmax[static_cast<size_t>(r)] =
        encode_int8_row(values.data<float>().subspan(begin, size), codes.subspan(begin, size));
  }
  return Weight::int8_row(packed, DType::kF16, mode, threshold);
}

inline Weight code_block_weight(Random& random, int64_t rows, int64_t cols, QuantType type,
                                int64_t block_size, bool nested) {
  const Tensor values = random_tensor(random, {rows, cols}, 0.05f);
  const int64_t blocks = block_count(rows * cols, block_size);
  CodeBlock packed;
  packed.codes = Tensor::empty(DType::kU8, {(rows * cols + 1) / 2});
  const auto& codebook = codebook_of(type);
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.block_size = block_size;
  packed.absmax = Tensor::empty(DType::kF32, {blocks});
  encode_code_blocks(type, block_size, values.data<float>(), packed.codes.mutable_data<uint8_t>(),
                     packed.absmax.mutable_data<float>());
  if (nested) {
    packed.nested = encode_nested_absmax(packed.absmax.data<float>());
    packed.absmax = Tensor();
  }
  return Weight::code_block(packed, rows, cols, DType::kBF16);
}

inline Tensor absolute(const Tensor& tensor) {
  Tensor out = Tensor::empty(DType::kF32, tensor.shape());
  for (size_t i = 0; i < out.data<float>().size(); ++i) {
    out.mutable_data<float>()[i] = std::fabs(tensor.data<float>()[i]);
  }
  return out;
}

// Random codes, scales and zeros; `act_order`: columns are stored in another order.
inline Weight affine_weight(Random& random, int64_t rows, int64_t cols, int64_t bits,
                            int64_t group_size, ZeroForm form = ZeroForm::kSubtracted,
                            bool act_order = false) {
  const int64_t groups = block_count(cols, group_size);
  AffineGroup packed;
  packed.bits = bits;
  packed.group_size = group_size;
  packed.zero_form = form;
  packed.codes = Tensor::empty(DType::kU8, {rows, affine_row_bytes(cols, bits)});
  for (uint8_t& byte : packed.codes.mutable_data<uint8_t>()) {
    byte = static_cast<uint8_t>(random.next());
  }
  packed.scales = absolute(random_tensor(random, {rows, groups}, 0.01f));
  packed.zeros = random_tensor(random, {rows, groups}, form == ZeroForm::kAdded ? 0.05f : 4.0f);
  if (act_order) {
    packed.positions = Tensor::empty(DType::kI32, {cols});
    const auto at = packed.positions.mutable_data<int32_t>();
    for (size_t c = 0; c < at.size(); ++c) at[c] = static_cast<int32_t>(c);
    for (size_t c = at.size(); c > 1; --c) std::swap(at[c - 1], at[random.next() % c]);
  }
  return Weight::affine_group(packed, cols, DType::kF16);
}

// Codes of a grid that is the same on both sides: all zeros are the middle code.
inline Weight symmetric_weight(Random& random, int64_t rows, int64_t cols, int64_t group_size) {
  AffineGroup packed = affine_weight(random, rows, cols, 4, group_size).as_affine_group();
  std::ranges::fill(packed.zeros.mutable_data<float>(), 8.0f);
  return Weight::affine_group(packed, cols, DType::kF16);
}

// Of 8 bits, with codes around 0.
inline Weight signed_affine_weight(Random& random, int64_t rows, int64_t cols, int64_t group_size) {
  AffineGroup packed = affine_weight(random, rows, cols, 8, group_size).as_affine_group();
  packed.codes = packed.codes.reinterpret(DType::kI8, packed.codes.shape());
  return Weight::affine_group(packed, cols, DType::kF16);
}

// Codes of all finite values.
inline Weight float8_weight(Random& random, int64_t rows, int64_t cols, DType dtype,
                            int64_t block_rows, int64_t block_cols) {
  Tensor codes = Tensor::empty(DType::kU8, {rows, cols});
  const uint64_t finite = dtype == DType::kF8E4M3 ? 0x7f : 0x7c;
  for (uint8_t& code : codes.mutable_data<uint8_t>()) {
    code = static_cast<uint8_t>(random.next() % finite | (random.next() & 0x80));
  }
  const Shape blocks = {block_count(rows, block_rows), block_count(cols, block_cols)};
  const float scale = dtype == DType::kF8E4M3 ? 0.001f : 0.00001f;
  return Weight::float8_block(
      {codes.reinterpret(dtype, {rows, cols}), absolute(random_tensor(random, blocks, scale)),
       block_rows, block_cols},
      DType::kBF16);
}

// The weight with its absmax, or scales and zeros, rounded to a 16-bit dtype, so that backends may
// keep them in it.
inline Weight with_scales_of(const Weight& weight, DType dtype) {
  const auto rounded = [&](const Tensor& tensor) {
    return to_dtype(to_dtype(tensor, dtype), DType::kF32);
  };
  if (weight.layout() == Layout::kCodeBlock) {
    CodeBlock packed = weight.as_code_block();
    packed.absmax = rounded(packed.absmax);
    return Weight::code_block(packed, weight.rows(), weight.cols(), weight.dtype());
  }
  AffineGroup packed = weight.as_affine_group();
  packed.scales = rounded(packed.scales);
  packed.zeros = rounded(packed.zeros);
  return Weight::affine_group(packed, weight.cols(), weight.dtype());
}

// |got - want| <= tolerance * magnitude + floor for each element, where `magnitude` has the shape
// of the result or one element for all.
inline void expect_close(const Tensor& got, const Tensor& want, const Tensor& magnitude,
                         float tolerance, float floor = 1e-30f) {
  const auto a = got.data<float>(), b = want.data<float>(), m = magnitude.data<float>();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const float bound = tolerance * m[m.size() == 1 ? 0 : i] + floor;
    ASSERT_LE(std::fabs(a[i] - b[i]), bound)
        << "element " << i << ": " << a[i] << " instead of " << b[i];
  }
}

inline void expect_same_bits(const Tensor& got, const Tensor& want) {
  const auto a = got.data<float>(), b = want.data<float>();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(a[i]), std::bit_cast<uint32_t>(b[i]))
        << "element " << i << ": " << a[i] << " instead of " << b[i];
  }
}

// The magnitude of results whose bound is one number.
inline const Tensor kOne = Tensor::from<float>({1.0f}, {1});

// Runs every test once per instruction set ("avx2", "sse4", "scalar", ...).
class CpuTarget : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    cpu::set_cpu_target(GetParam());
    ASSERT_EQ(cpu::current_target(), GetParam());
  }
  void TearDown() override { cpu::set_cpu_target(""); }

  // Runs `op` on both backends and once per number of threads: close to the reference within
  // tolerance * magnitude, and the same bits whatever the threads.
  template <typename Op>
  void check(const Shape& shape, const Op& op, const Tensor& magnitude, float tolerance) {
    const auto result = [&](Backend& backend) {
      Tensor y = Tensor::empty(DType::kF32, shape);
      for (float& value : y.mutable_data<float>()) value = NAN;
      op(backend, y);
      return y;
    };
    const Tensor got = result(*cpu_);
    expect_close(got, result(*reference_), magnitude, tolerance);
    for (const int threads : {1, 3, 8}) {
      if (HasFatalFailure()) return;
      expect_same_bits(result(*cpu_backend(threads)), got);
    }
  }

  std::unique_ptr<Backend> reference_ = make_backend("reference");
  std::unique_ptr<Backend> cpu_ = cpu_backend(2);
  Stream stream_;
};

}  // namespace nibble::conformance
