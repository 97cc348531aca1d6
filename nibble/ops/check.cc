// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/check.h"

#include <fmt/format.h>

#include <string>

#include "nibble/base/error.h"

namespace nibble::ops {
namespace {

bool fits(const Shape& shape, const Shape& wanted) {
  if (shape.size() != wanted.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (wanted[i] != kAnySize && shape[i] != wanted[i]) return false;
  }
  return true;
}

std::string describe(DType dtype, const Shape& shape) {
  std::string text = std::string(torch_name(dtype)) + " [";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i] == kAnySize ? "any" : std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace

void check_tensor(std::string_view op, std::string_view operand, const Tensor& tensor, DType dtype,
                  const Shape& shape) {
  if (!tensor.defined()) throw Error(fmt::format("{}: {} is undefined", op, operand));
  if (tensor.dtype() == dtype && fits(tensor.shape(), shape)) return;
  throw Error(fmt::format("{}: {} does not fit", op, operand))
      .expected(describe(dtype, shape))
      .got(describe(tensor.dtype(), tensor.shape()));
}

void check_range(std::string_view op, std::string_view operand, const Tensor& values,
                 int64_t limit) {
  for (const int32_t value : values.data<int32_t>()) {
    if (value >= 0 && value < limit) continue;
    throw Error(fmt::format("{}: {} is out of range", op, operand))
        .expected(fmt::format("0 to {}", limit - 1))
        .got(std::to_string(value));
  }
}

}  // namespace nibble::ops
