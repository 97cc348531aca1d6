// SPDX-License-Identifier: Apache-2.0
//
// Advice to the system about tensors that are windows on mapped files; for all others these do
// nothing.
#pragma once

#include "nibble/base/mapped_file.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

inline bool is_mapped(const Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cpu() && !tensor.buffer()->writable();
}

// Asks for the bytes to be read in the background.
inline void prefetch_pages(const Tensor& tensor) {
  if (is_mapped(tensor)) prefetch_mapped(tensor.bytes());
}

// Takes the bytes out of this process's memory until they are touched again.
inline void drop_pages(const Tensor& tensor) {
  if (is_mapped(tensor)) drop_mapped(tensor.bytes());
}

}  // namespace nibble
