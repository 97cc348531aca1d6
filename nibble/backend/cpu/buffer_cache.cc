// SPDX-License-Identifier: Apache-2.0
#include "nibble/backend/cpu/buffer_cache.h"

#include <bit>
#include <utility>

namespace nibble::cpu {
namespace {

constexpr size_t kSmallest = 64 << 10;  // half of what malloc asks the kernel for at first

// Sizes are rounded up to one of eight steps between powers of two, so that the buffers of prompts
// of similar lengths fit each other.
size_t rounded(size_t size) {
  const size_t step = std::bit_floor(size) / 8;
  return (size + step - 1) / step * step;
}

}  // namespace

BufferCache::BufferCache(size_t kept_bytes) : idle_(std::make_shared<Idle>()) {
  idle_->kept_bytes = kept_bytes;
}

size_t BufferCache::idle_bytes() const {
  std::lock_guard lock(idle_->mutex);
  return idle_->bytes;
}

std::shared_ptr<Buffer> BufferCache::allocate(size_t size) {
  if (size < kSmallest) return Buffer::allocate(size);
  const size_t wanted = rounded(size);
  if (wanted < size) return Buffer::allocate(size);  // overflow: fails there
  std::shared_ptr<Buffer> memory;
  {
    std::lock_guard lock(idle_->mutex);
    if (const auto found = idle_->buffers.find(wanted); found != idle_->buffers.end()) {
      memory = std::move(found->second);
      idle_->buffers.erase(found);
      idle_->bytes -= wanted;
    }
  }
  if (!memory) memory = Buffer::allocate(wanted);
  void* data = memory->data();
  const auto give_back = [idle = idle_, memory = std::move(memory), wanted](const void*) mutable {
    std::lock_guard lock(idle->mutex);
    if (idle->bytes + wanted > idle->kept_bytes) return;
    idle->buffers.emplace(wanted, std::move(memory));
    idle->bytes += wanted;
  };
  std::shared_ptr<const void> owner(data, give_back);
  return std::make_shared<Buffer>(Device{}, data, size, std::move(owner), true);
}

}  // namespace nibble::cpu
