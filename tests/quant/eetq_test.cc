// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/eetq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "nibble/base/half.h"
#include "nibble/base/random.h"
#include "tests/quant/quant_testing.h"

namespace nibble {
namespace {

Tensor random_floats(int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 1000 + cols));
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  for (float& x : out.mutable_data<float>()) x = random.normal();
  return out;
}

bool identical(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(a.bytes(), b.bytes());
}

// The steps of the kernel's preprocessing, one after the other, on a matrix [inputs, outputs]:
// inputs permuted in sixteens, columns made contiguous, two of them interleaved by 64, 128 added,
// the middle bytes of each four exchanged.
Tensor step_by_step(const Tensor& codes) {
  constexpr std::array<int64_t, 16> kOrder = {0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15};
  const int64_t outputs = codes.dim(0), inputs = codes.dim(1);
  const auto code = codes.data<int8_t>();
  std::vector<int8_t> interleaved(code.size());
  for (int64_t n = 0; n < outputs; ++n) {
    for (int64_t k = 0; k < inputs; ++k) {
      const int64_t from = k / 16 * 16 + kOrder[static_cast<size_t>(k % 16)];
      const int64_t to = n / 2 * 2 * inputs + k / 64 * 128 + n % 2 * 64 + k % 64;
      interleaved[static_cast<size_t>(to)] = code[static_cast<size_t>(n * inputs + from)];
    }
  }
  for (int8_t& byte : interleaved) byte = static_cast<int8_t>(static_cast<uint8_t>(byte + 128));
  for (size_t i = 0; i < interleaved.size(); i += 4)
    std::swap(interleaved[i + 1], interleaved[i + 2]);
  return Tensor::from<int8_t>(interleaved, {inputs, outputs});
}

TEST(EetqScheme, OrdersBytesAsTheKernelsPreprocessingDoes) {
  ThreadPool pool(1);
  const Weight weight = EetqScheme({}).quantize(random_floats(128, 192), pool);
  const Tensor& codes = weight.as_int8_row().codes;
  EXPECT_TRUE(identical(eetq_bytes(codes), step_by_step(codes)));
  EXPECT_TRUE(identical(codes_of_eetq(eetq_bytes(codes), test_pool()), codes));
}

TEST(EetqScheme, RoundsOnA128thOfTheLargestAwayFromZero) {
  ThreadPool pool(1);
  const Tensor dense = Tensor::from<float>({1.28f, -1.28f, 0.015f, -0.015f, 0.0f, 0.64f}, {1, 6});
  const Weight weight = EetqScheme({}).quantize(to_dtype(dense, DType::kF16), pool);
  EXPECT_EQ(weight.activation_mode(), ActivationMode::kFloat);
  const float scale = to_float(to_fp16(1.28f)) / 128;  // 0.015 / scale is 1.4995
  EXPECT_TRUE(identical(weight.as_int8_row().codes,
                        Tensor::from<int8_t>({127, -128, 1, -1, 0, 64}, {1, 6})));
  EXPECT_EQ(weight.dequantize(DType::kF32).data<float>()[1], -128 * to_float(to_fp16(scale)));
  const Tensor ties = Tensor::from<float>({128, 0.5f, -0.5f, 1.5f, -2.5f, 2.5f}, {1, 6});
  EXPECT_TRUE(identical(EetqScheme({}).quantize(ties, pool).as_int8_row().codes,
                        Tensor::from<int8_t>({127, 1, -1, 2, -3, 3}, {1, 6})));
}

TEST(EetqScheme, WeightsSurviveAFileInBothOrders) {
  ThreadPool pool(2);
  const EetqScheme scheme{EetqConfig{}};
  for (const Shape& shape : {Shape{64, 128}, Shape{3, 5}, Shape{0, 4}, Shape{64, 65}}) {
    const Weight weight = scheme.quantize(random_floats(shape[0], shape[1]), pool);
    const auto tensors = scheme.save(weight, "m");
    EXPECT_EQ(tensors[0].tensor.shape(), (Shape{shape[1], shape[0]}));
    const TemporaryCheckpoint saved(tensors);
    EXPECT_TRUE(scheme.is_packed(*saved, "m"));
    EXPECT_TRUE(scheme.remarks(*saved).empty());
    const Weight loaded = scheme.load(*saved, "m", shape[0], shape[1], test_pool());
    EXPECT_TRUE(identical(loaded.dequantize(DType::kF32), weight.dequantize(DType::kF32)));
    const auto again = scheme.save(loaded, "m");
    for (size_t i = 0; i < again.size(); ++i) {
      EXPECT_TRUE(identical(again[i].tensor, tensors[i].tensor)) << again[i].name;
    }
  }
}

TEST(EetqScheme, FilesWithoutAWordAboutTheirOrderAreThoseOfTuring) {
  ThreadPool pool(1);
  const EetqScheme scheme{EetqConfig{}};
  const Weight weight = scheme.quantize(random_floats(64, 64), pool);
  auto tensors = scheme.save(weight, "m");
  tensors.pop_back();
  tensors[0].name = "m.qweight";  // of EETQ's own classes
  const TemporaryCheckpoint saved(tensors);
  EXPECT_TRUE(identical(scheme.load(*saved, "m", 64, 64, test_pool()).dequantize(DType::kF32),
                        weight.dequantize(DType::kF32)));
  ASSERT_EQ(scheme.remarks(*saved).size(), 1u);
  EXPECT_EQ(scheme.remarks(*saved)[0],
            "the files do not say for which GPU EETQ ordered their bytes: they are read as those "
            "of Turing to Ada (compute capability 7.5 to 8.9)");
}

TEST(EetqScheme, RefusesWhatItCannotHold) {
  ThreadPool pool(1);
  const EetqScheme scheme{EetqConfig{}};
  Tensor dense = random_floats(2, 4);
  dense.mutable_data<float>()[3] = 1e6f;
  EXPECT_EQ(message_of([&] { scheme.quantize(dense, pool); }),
            "weights are beyond the range of float16, in which EETQ quantizes: expected magnitudes "
            "of at most 65504; quantize this model to nf4 or fp4");
  dense.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { scheme.quantize(dense, pool); }),
            "weights are not finite: got 1 of 8 elements NaN or infinite, the first nan at [0, 3]; "
            "the checkpoint is damaged or its training diverged");
  EXPECT_EQ(
      message_of([&] { scheme.save(Weight::dense(Tensor::zeros(DType::kF32, {2, 2})), "m"); }),
      "tensor 'm.weight': cannot store this weight as EETQ: expected int8_row, got dense");
}

TEST(EetqScheme, LoadRefusesDamagedModules) {
  ThreadPool pool(1);
  const EetqScheme scheme{EetqConfig{}};
  const auto good = scheme.save(scheme.quantize(random_floats(3, 5), pool), "m");
  const auto refused = [&](size_t part, const Tensor& tensor) {
    auto tensors = good;
    tensors[part].tensor = tensor;
    const TemporaryCheckpoint saved(tensors);
    return message_of([&] { scheme.load(*saved, "m", 3, 5, test_pool()); })
        .substr(saved.file().size());
  };
  EXPECT_EQ(refused(0, Tensor::zeros(DType::kI8, {3, 5})),
            ": tensor 'm.weight': tensor has the wrong dtype or shape: expected int8 [5, 3], got "
            "int8 [3, 5]");
  EXPECT_EQ(refused(1, Tensor::zeros(DType::kF16, {5})),
            ": tensor 'm.weight_scales': tensor has the wrong dtype or shape: expected float16, "
            "bfloat16 or float32 [3], got float16 [5]");
  EXPECT_EQ(refused(2, Tensor::from<uint8_t>({75}, {})),
            ": tensor 'm.weight_layout': the order of bytes is not known, or not for this shape: "
            "expected 0 (plain) or 75 (Turing to Ada, multiples of 64), got 75 for [3, 5]");
}

}  // namespace
}  // namespace nibble
