// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/dtype.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(DType, NamesRoundTripInTheOrderOfTheEnum) {
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_safetensors(safetensors_name(dtype)), dtype);
    EXPECT_EQ(dtype_from_torch(torch_name(dtype)), dtype);
  }
  EXPECT_EQ(size_of(DType::kBF16), 2);
  EXPECT_EQ(size_of(DType::kBool), 1);
  EXPECT_TRUE(is_float(DType::kF8E5M2));
  EXPECT_FALSE(is_float(DType::kC64));
  EXPECT_FALSE(is_float(DType::kI8));
}

TEST(DType, AcceptsTheSpellingsOfConfigs) {
  EXPECT_EQ(dtype_from_torch("torch.bfloat16"), DType::kBF16);
  EXPECT_EQ(dtype_from_torch("fp16"), DType::kF16);
  EXPECT_EQ(dtype_from_torch("half"), DType::kF16);
  EXPECT_EQ(dtype_from_torch("float"), DType::kF32);
  EXPECT_FALSE(dtype_from_torch("float31").has_value());
  EXPECT_FALSE(dtype_from_safetensors("f32").has_value());
}

}  // namespace
}  // namespace nibble
