// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/buffer.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace nibble {
namespace {
constexpr size_t kAlignment = 64;
}

std::shared_ptr<Buffer> Buffer::allocate(size_t size) {
  const size_t rounded = size == 0 ? kAlignment : (size + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded < size) throw std::bad_alloc();
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) throw std::bad_alloc();
  std::shared_ptr<const void> owner(data, [](const void* p) { std::free(const_cast<void*>(p)); });
  return std::make_shared<Buffer>(Device{}, data, size, std::move(owner), true);
}

Buffer::Buffer(Device device, void* data, size_t size, std::shared_ptr<const void> owner,
               bool writable)
    : device_(device), data_(data), size_(size), owner_(std::move(owner)), writable_(writable) {}

}  // namespace nibble
