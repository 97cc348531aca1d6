// SPDX-License-Identifier: Apache-2.0
//
// The tensors of one module of a checkpoint, read under what is expected of them: every failure
// names the file and the tensor. Knows no scheme.
#pragma once

#include <string>
#include <string_view>

#include "nibble/base/error.h"
#include "nibble/io/checkpoint.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

class ModuleReader {
 public:
  // `module` is a path without a dot at its end; "" is the root.
  ModuleReader(const Checkpoint& checkpoint, std::string_view module);

  std::string name(std::string_view suffix) const { return prefix_ + std::string(suffix); }
  bool contains(std::string_view suffix) const { return checkpoint_.contains(name(suffix)); }

  // Throws Error when the module has no such tensor.
  Tensor tensor(std::string_view suffix) const { return checkpoint_.tensor(name(suffix)); }

  // The same with the dtype and the shape checked, and for float32 that every value is finite.
  Tensor tensor(std::string_view suffix, DType dtype, const Shape& shape) const;

  // An Error that begins with the file and the tensor, which must exist.
  Error error(std::string_view suffix, std::string what_failed) const;

 private:
  const Checkpoint& checkpoint_;
  std::string prefix_;
};

// "model.norm" + "weight" is "model.norm.weight"; the root module adds nothing.
std::string module_prefix(std::string_view module);

}  // namespace nibble
