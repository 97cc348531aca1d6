// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/module_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace nibble {

std::string module_prefix(std::string_view module) {
  return module.empty() ? std::string() : fmt::format("{}.", module);
}

ModuleReader::ModuleReader(const Checkpoint& checkpoint, std::string_view module)
    : checkpoint_(checkpoint), prefix_(module_prefix(module)) {}

Tensor ModuleReader::tensor(std::string_view suffix, DType dtype, const Shape& shape) const {
  Tensor found = tensor(suffix);
  if (found.dtype() != dtype || found.shape() != shape) {
    throw error(suffix, "tensor has the wrong dtype or shape")
        .expected(fmt::format("{} {}", torch_name(dtype), to_string(shape)))
        .got(fmt::format("{} {}", torch_name(found.dtype()), to_string(found.shape())));
  }
  if (dtype == DType::kF32) {
    const auto values = found.data<float>();
    const auto bad = std::ranges::find_if_not(values, [](float x) { return std::isfinite(x); });
    if (bad != values.end()) {
      throw error(suffix, "tensor is not finite")
          .got(fmt::format("{} at index {}", *bad, bad - values.begin()));
    }
  }
  return found;
}

Error ModuleReader::error(std::string_view suffix, std::string what_failed) const {
  const std::string full_name = name(suffix);
  Error failure(std::move(what_failed));
  failure.file(checkpoint_.file_of(full_name)).tensor(full_name);
  return failure;
}

}  // namespace nibble
