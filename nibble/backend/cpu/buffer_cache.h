// SPDX-License-Identifier: Apache-2.0
//
// Memory that one operation leaves and a later one takes. A prompt's activations are megabytes each
// and live for one operation; from malloc each would come as fresh pages, and the kernel's work on
// those is a tenth of a small model's prefill.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "nibble/tensor/buffer.h"

namespace nibble::cpu {

// `count` elements, not initialized, until the last copy goes.
template <typename T>
class CachedArray {
 public:
  CachedArray() = default;
  explicit CachedArray(std::shared_ptr<Buffer> buffer) : buffer_(std::move(buffer)) {}
  T* get() const { return buffer_ ? static_cast<T*>(buffer_->data()) : nullptr; }

 private:
  std::shared_ptr<Buffer> buffer_;
};

// Safe to use from several threads. Buffers may outlive it.
class BufferCache {
 public:
  // Of idle memory at most `kept_bytes` are kept; the rest is freed at once.
  explicit BufferCache(size_t kept_bytes);

  // Like Buffer::allocate. Small sizes, which malloc serves without the kernel, pass through.
  std::shared_ptr<Buffer> allocate(size_t size);

  template <typename T>
  CachedArray<T> array(int64_t count) {
    return CachedArray<T>(allocate(static_cast<size_t>(count) * sizeof(T)));
  }

  size_t idle_bytes() const;

 private:
  struct Idle {
    size_t kept_bytes = 0, bytes = 0;
    std::multimap<size_t, std::shared_ptr<Buffer>> buffers;  // by size
    mutable std::mutex mutex;
  };
  std::shared_ptr<Idle> idle_;
};

}  // namespace nibble::cpu
