// SPDX-License-Identifier: Apache-2.0
//
// A user of the installed library: calls into it, so that linking must find everything behind it.
#include "nibble/nibble.h"

#include <iostream>

int main() {
  const nibble::Tensor ones = nibble::Tensor::from<float>({1.0f, 1.0f}, {2});
  const nibble::Tensor half = nibble::to_dtype(ones, nibble::DType::kBF16);
  std::cout << nibble::to_string(half.shape()) << ' ' << nibble::torch_name(half.dtype()) << '\n';
  try {
    half.reshape({3});
  } catch (const nibble::Error& error) {
    std::cout << error.what() << '\n';
    return half.nbytes() == 4 ? 0 : 1;
  }
  return 1;
}
