// SPDX-License-Identifier: Apache-2.0
//
// The JSON text that bitsandbytes stores beside each 4-bit weight (the tensor
// "weight.quant_state.bitsandbytes__nf4" or "__fp4", uint8): all of its quantization that is not a
// tensor. Written byte for byte as Python's json.dumps does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "nibble/format/code_block.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

std::string_view quant_type_name(QuantType type);  // "nf4", "fp4"
std::optional<QuantType> quant_type_from_name(std::string_view name);

struct QuantState {
  struct Nested {
    int64_t blocksize = 256;
    float offset = 0.0f;
  };

  QuantType quant_type = QuantType::kNf4;
  int64_t blocksize = 64;
  DType dtype = DType::kF32;  // of the weight before quantization
  Shape shape;                // [rows, cols]
  std::optional<Nested> nested;
};

// Throws Error with `file`, `tensor` and the key on anything but the fields above with values in
// range. Keys that are not known are refused, as bitsandbytes does.
QuantState parse_quant_state(std::string_view json, const std::filesystem::path& file,
                             const std::string& tensor);

std::string format_quant_state(const QuantState& state);

// The shortest decimal that reads back as `value`, in the form of Python's repr(): "0.1", "2.0",
// "1e-05", "1e+16". `value` must be finite.
std::string python_float_repr(double value);

}  // namespace nibble
