// SPDX-License-Identifier: Apache-2.0
//
// The upper triangle of a square matrix, row after row: half the memory of the square. Hessians and
// what is made of them are the largest arrays of a calibration.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

template <typename T>
class UpperTriangle {
 public:
  UpperTriangle() = default;
  explicit UpperTriangle(int64_t size)
      : size_(size), elements_(static_cast<size_t>(size * (size + 1) / 2)) {}

  int64_t size() const { return size_; }
  // Element (k, j) is row(k)[j], for k <= j < size.
  T* row(int64_t k) { return elements_.data() + begin_of(k); }
  const T* row(int64_t k) const { return elements_.data() + begin_of(k); }

 private:
  // Rows above have size, size - 1, ... elements; row k begins with its element k.
  int64_t begin_of(int64_t k) const { return k * size_ - k * (k + 1) / 2; }

  int64_t size_ = 0;
  std::vector<T> elements_;
};

}  // namespace nibble
