// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <span>

#include "nibble/base/error.h"
#include "nibble/base/float8.h"
#include "nibble/base/half.h"
#include "nibble/tensor/tensor.h"

namespace nibble {
namespace {

template <typename To>
To round_to(float value) {
  if constexpr (std::is_same_v<To, fp16>) {
    return to_fp16(value);
  } else if constexpr (std::is_same_v<To, bf16>) {
    return to_bf16(value);
  } else {
    return value;
  }
}

template <typename From, typename To>
void convert(std::span<const From> from, std::span<To> to) {
  if constexpr (sizeof(From) == 1) {
    std::array<To, 256> values;
    for (size_t bits = 0; bits < values.size(); ++bits) {
      values[bits] = round_to<To>(to_float(From{static_cast<uint8_t>(bits)}));
    }
    for (size_t i = 0; i < from.size(); ++i) to[i] = values[from[i].bits];
  } else {
    for (size_t i = 0; i < from.size(); ++i) {
      if constexpr (std::is_same_v<From, double>) {
        to[i] = round_to<To>(static_cast<float>(from[i]));  // through float on purpose: torch does
      } else {
        to[i] = round_to<To>(to_float(from[i]));
      }
    }
  }
}

template <typename From>
void convert_from(const Tensor& from, Tensor& to) {
  const std::span<const From> source{static_cast<const From*>(from.raw()),
                                     static_cast<size_t>(from.numel())};
  switch (to.dtype()) {
    case DType::kF64:
      return convert<From, double>(source, to.mutable_data<double>());
    case DType::kF32:
      return convert<From, float>(source, to.mutable_data<float>());
    case DType::kF16:
      return convert<From, fp16>(source, to.mutable_data<fp16>());
    default:
      return convert<From, bf16>(source, to.mutable_data<bf16>());
  }
}

bool is_target(DType dtype) { return is_float(dtype) && size_of(dtype) >= 2; }

}  // namespace

Tensor to_dtype(const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return tensor;
  if (!is_float(tensor.dtype()) || !is_target(dtype)) {
    throw Error("cannot convert between dtypes")
        .expected("a float dtype to float64, float32, float16 or bfloat16")
        .got(fmt::format("{} to {}", torch_name(tensor.dtype()), torch_name(dtype)));
  }
  if (!tensor.device().is_cpu()) {
    throw Error("tensor is not on the host").expected("cpu").got(tensor.device().name());
  }
  Tensor out = Tensor::empty(dtype, tensor.shape());
  switch (tensor.dtype()) {
    case DType::kF64:
      convert_from<double>(tensor, out);
      break;
    case DType::kF32:
      convert_from<float>(tensor, out);
      break;
    case DType::kF16:
      convert_from<fp16>(tensor, out);
      break;
    case DType::kBF16:
      convert_from<bf16>(tensor, out);
      break;
    case DType::kF8E4M3:
      convert_from<fp8_e4m3>(tensor, out);
      break;
    case DType::kF8E5M2:
      convert_from<fp8_e5m2>(tensor, out);
      break;
    case DType::kF8E4M3Fnuz:
      convert_from<fp8_e4m3fnuz>(tensor, out);
      break;
    case DType::kF8E5M2Fnuz:
      convert_from<fp8_e5m2fnuz>(tensor, out);
      break;
    default:
      convert_from<fp8_e8m0>(tensor, out);
      break;
  }
  return out;
}

void read_floats(const Tensor& tensor, int64_t begin, std::span<float> out) {
  const auto convert_part = [&](auto elements) {
    convert(elements.subspan(static_cast<size_t>(begin), out.size()), out);
  };
  switch (tensor.dtype()) {
    case DType::kF16:
      return convert_part(tensor.data<fp16>());
    case DType::kBF16:
      return convert_part(tensor.data<bf16>());
    default:
      return convert_part(tensor.data<float>());
  }
}

}  // namespace nibble
