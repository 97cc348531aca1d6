// SPDX-License-Identifier: Apache-2.0
//
// The random streams of Python and of NumPy, number for number, for samples that are published as
// "seed 0" of the one or "seed 42" of the other. All else draws from random.h.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace nibble {

// random.seed(seed), then random.randint() of CPython 3.
class PythonRandom {
 public:
  explicit PythonRandom(uint64_t seed);

  // Uniform in [first, last]; there are fewer than 2^32 of them.
  int64_t randint(int64_t first, int64_t last);

 private:
  std::mt19937 engine_;
};

// numpy.random.default_rng(seed).permutation(count), by which Dataset.shuffle(seed) of Hugging
// Face's datasets orders rows. `count` is below 2^32.
std::vector<int64_t> numpy_permutation(uint64_t seed, int64_t count);

}  // namespace nibble
