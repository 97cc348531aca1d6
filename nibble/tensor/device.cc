// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/device.h"

#include <charconv>

#include "nibble/base/error.h"

namespace nibble {

std::string Device::name() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index); }

Device parse_device(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {Device::Kind::kCuda, 0};
  if (text.starts_with("cuda:")) {
    const std::string_view digits = text.substr(5);
    int index = -1;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (failure == std::errc{} && end == digits.data() + digits.size() && index >= 0) {
      return {Device::Kind::kCuda, index};
    }
  }
  throw Error("unknown device").expected("cpu, cuda or cuda:N").got(std::string(text));
}

}  // namespace nibble
