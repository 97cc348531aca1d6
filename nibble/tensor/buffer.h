// SPDX-License-Identifier: Apache-2.0
//
// A run of bytes on one device: owned, or a window on something else that it keeps alive (a mapped
// file). Tensors share buffers; a buffer knows no dtype.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "nibble/tensor/device.h"

namespace nibble {

class Buffer {
 public:
  // Host memory, 64-byte aligned (a cache line, the widest vector), not initialized.
  static std::shared_ptr<Buffer> allocate(size_t size);

  // Bytes that `owner` keeps alive: a MappedFile (read-only), or device memory whose deleter
  // belongs to the backend that made it.
  Buffer(Device device, void* data, size_t size, std::shared_ptr<const void> owner, bool writable);

  Device device() const { return device_; }
  size_t size() const { return size_; }
  bool writable() const { return writable_; }
  void* data() { return data_; }
  const void* data() const { return data_; }

 private:
  Device device_;
  void* data_;
  size_t size_;
  std::shared_ptr<const void> owner_;
  bool writable_;
};

}  // namespace nibble
