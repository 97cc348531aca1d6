// SPDX-License-Identifier: Apache-2.0
#include "nibble/outline/builder.h"

#include <fmt/format.h>

#include "nibble/base/error.h"

namespace nibble {
namespace {

// The largest models that exist have a few tens of thousands of modules and 2^41 parameters. With
// these limits no sum over an outline leaves 63 bits.
constexpr size_t kMostModules = size_t{1} << 18;
constexpr int64_t kMostElements = int64_t{1} << 40;  // of one tensor

int64_t elements(const Shape& shape, const std::string& name) {
  int64_t count = 1;
  for (const int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count) || count > kMostElements) {
      throw Error("the config describes a tensor beyond reason")
          .tensor(name)
          .expected(fmt::format("at most {} elements", kMostElements))
          .got(to_string(shape));
    }
  }
  return count;
}

}  // namespace

OutlineBuilder OutlineBuilder::sub(std::string_view name) const {
  return {outline_, prefix_ + std::string(name) + '.'};
}

OutlineModule& OutlineBuilder::add(OutlineModule::Kind kind, std::string_view name,
                                   const Shape& shape, int64_t bias) const {
  if (outline_.modules.size() >= kMostModules) {
    throw Error("the config describes a model beyond reason")
        .expected(fmt::format("at most {} modules", kMostModules));
  }
  elements(shape, path(name));
  OutlineModule module;
  module.kind = kind;
  module.path = path(name);
  module.shape = shape;
  module.bias = bias;
  outline_.modules.push_back(std::move(module));
  return outline_.modules.back();
}

OutlineModule& OutlineBuilder::linear(std::string_view name, int64_t out, int64_t in,
                                      bool bias) const {
  return add(OutlineModule::Kind::kLinear, name, {out, in}, bias ? out : 0);
}

OutlineModule& OutlineBuilder::conv1d(std::string_view name, int64_t in, int64_t out) const {
  return add(OutlineModule::Kind::kConv1D, name, {in, out}, out);
}

OutlineModule& OutlineBuilder::conv(std::string_view name, const Shape& shape, bool bias) const {
  return add(OutlineModule::Kind::kConv, name, shape, bias ? shape.front() : 0);
}

OutlineModule& OutlineBuilder::embedding(std::string_view name, int64_t rows, int64_t cols) const {
  return add(OutlineModule::Kind::kEmbedding, name, {rows, cols}, 0);
}

OutlineModule& OutlineBuilder::norm(std::string_view name, int64_t size, bool bias) const {
  return add(OutlineModule::Kind::kNorm, name, {size}, bias ? size : 0);
}

OutlineModule& OutlineBuilder::parameter(std::string_view name, const Shape& shape) const {
  return add(OutlineModule::Kind::kParameter, name, shape, 0);
}

OutlineModule& OutlineBuilder::buffer(std::string_view name, const Shape& shape,
                                      std::optional<DType> dtype) const {
  OutlineModule& module = add(OutlineModule::Kind::kBuffer, name, shape, 0);
  module.dtype = dtype;
  return module;
}

}  // namespace nibble
