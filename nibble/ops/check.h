// SPDX-License-Identifier: Apache-2.0
//
// What every op demands of its operands before a backend sees them. Each function throws an Error
// that names the op, the operand, and what came instead.
#pragma once

#include <cstdint>
#include <string_view>

#include "nibble/tensor/tensor.h"

namespace nibble::ops {

// Any extent, in the shape given to check_tensor().
inline constexpr int64_t kAnySize = -1;

void check_tensor(std::string_view op, std::string_view operand, const Tensor& tensor, DType dtype,
                  const Shape& shape);

// All `values` (int32, on the host) lie in [0, limit).
void check_range(std::string_view op, std::string_view operand, const Tensor& values,
                 int64_t limit);

}  // namespace nibble::ops
