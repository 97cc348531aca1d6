// SPDX-License-Identifier: Apache-2.0
//
// What an op needs besides its operands, passed explicitly: no globals. Ops are functions from
// tensors to new tensors; none writes to its inputs, so a tape that records backward steps can join
// the Context without a change to any model.
#pragma once

#include "nibble/backend/backend.h"

namespace nibble {

class LinearObserver;  // ops/linear.h

struct Context {
  Backend& backend;
  Stream& stream;
  LinearObserver* linear_observer = nullptr;  // null: nobody looks

  // An uninitialized tensor on the backend's device.
  Tensor empty(DType dtype, Shape shape) const {
    const int64_t bytes = checked_numel(shape, size_of(dtype)) * size_of(dtype);
    return Tensor(dtype, std::move(shape), backend.allocate(static_cast<size_t>(bytes)));
  }
};

}  // namespace nibble
