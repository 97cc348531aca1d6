// SPDX-License-Identifier: Apache-2.0
//
// What a family's description (outline/families.h) writes with: a cursor with a path prefix that
// appends modules in the order in which the PyTorch class registers them. It holds the outline to
// a size that no honest model passes, however large the numbers of a config.json are.
#pragma once

#include <string>
#include <string_view>

#include "nibble/outline/outline.h"

namespace nibble {

class OutlineBuilder {
 public:
  explicit OutlineBuilder(ModelOutline& outline) : outline_(outline) {}

  OutlineBuilder sub(std::string_view name) const;
  OutlineBuilder sub(int64_t index) const { return sub(std::to_string(index)); }
  ModelOutline& outline() const { return outline_; }
  std::string path(std::string_view name) const { return prefix_ + std::string(name); }

  // All throw Error when the outline grows beyond reason. What they return may be altered (a tie, a
  // subclass) until the next call.
  OutlineModule& linear(std::string_view name, int64_t out, int64_t in, bool bias = false) const;
  OutlineModule& conv1d(std::string_view name, int64_t in, int64_t out) const;
  OutlineModule& conv(std::string_view name, const Shape& shape, bool bias) const;
  OutlineModule& embedding(std::string_view name, int64_t rows, int64_t cols) const;
  OutlineModule& norm(std::string_view name, int64_t size, bool bias) const;
  OutlineModule& parameter(std::string_view name, const Shape& shape) const;
  // `dtype` absent: the model's.
  OutlineModule& buffer(std::string_view name, const Shape& shape,
                        std::optional<DType> dtype) const;

 private:
  OutlineBuilder(ModelOutline& outline, std::string prefix)
      : outline_(outline), prefix_(std::move(prefix)) {}
  OutlineModule& add(OutlineModule::Kind kind, std::string_view name, const Shape& shape,
                     int64_t bias) const;

  ModelOutline& outline_;
  std::string prefix_;
};

}  // namespace nibble
